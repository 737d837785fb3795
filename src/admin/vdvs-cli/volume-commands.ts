import type { Command } from 'commander';
import { VolumeError } from '../../lib/errors.ts';
import { parseVolumeName } from '../../vdvs/names.ts';
import { addResizeCommand } from './disk-commands.ts';
import { renderShortVolumes, renderVolumes } from './render.ts';
import { branch, type CommonOptions, leaf, parseList, type Shell, show, tellDone } from './terminal.ts';

/** `a=b,c=d` as a map. @throws VolumeError `invalid`. */
function parseOptions(text: string): Record<string, string> {
  const pairs = parseList(text).map((pair): [string, string] => {
    const [, name, value] = /^([^=]+)=(.*)$/.exec(pair) ?? [];
    if (name === undefined || value === undefined) {
      throw new VolumeError('invalid', `option --options: "${pair}" is not NAME=VALUE`);
    }
    return [name.trim(), value.trim()];
  });
  return Object.fromEntries(pairs);
}

/** `vdvs volume ...` */
export function addVolumeCommands(program: Command, shell: Shell): void {
  const volume = branch(program, 'volume', 'block volumes of all vmgroups', [
    'vdvs volume ls',
    'vdvs volume set --volume=db@default --vmgroup=_DEFAULT --options="access=read-only"',
  ]);
  leaf(volume, 'ls', 'volumes with all that is known of them', [
    'vdvs volume ls',
    'vdvs volume ls --vmgroup=Dev --json',
  ])
    .option('--vmgroup <name>', 'only those of this vmgroup')
    .action(async (options: CommonOptions & { vmgroup?: string }) => {
      show(shell, options, await (await shell.client()).volumes(options.vmgroup, true), renderVolumes);
    });
  leaf(volume, 'shortls', "volumes' names; quick, because no datastore is asked", ['vdvs volume shortls'])
    .option('--vmgroup <name>', 'only those of this vmgroup')
    .action(async (options: CommonOptions & { vmgroup?: string }) => {
      show(shell, options, await (await shell.client()).volumes(options.vmgroup, false), renderShortVolumes);
    });
  addResizeCommand(volume, shell);
  leaf(volume, 'set', 'changes options of a volume; takes effect when it is attached next', [
    'vdvs volume set --volume=db@default --vmgroup=Dev --options="access=read-only"',
    'vdvs volume set --volume=db@default --vmgroup=Dev --options="access=read-write,attach-as=persistent"',
  ])
    .requiredOption('--volume <name@datastore>', 'the volume')
    .requiredOption('--vmgroup <name>', 'the vmgroup it belongs to')
    .requiredOption('--options <name=value,...>', 'access, attach-as')
    .action(async (options: CommonOptions & { volume: string; vmgroup: string; options: string }) => {
      if (!options.volume.includes('@')) {
        throw new VolumeError('invalid', `volume "${options.volume}": give it as NAME@DATASTORE`);
      }
      const id = parseVolumeName(options.volume, '');
      await (await shell.client()).setVolume(id, options.vmgroup, parseOptions(options.options));
      tellDone(shell, options, `volume ${options.volume} changed; takes effect when it is attached next`);
    });
}
