import type { Command } from 'commander';
import { renderAccess } from './render.ts';
import {
  branch,
  type CommonOptions,
  findGroup,
  leaf,
  parseBoolean,
  requireConsent,
  type Shell,
  show,
  tellDone,
} from './terminal.ts';

interface AccessOptions extends CommonOptions {
  readonly name: string;
  readonly datastore: string;
  readonly allowCreate?: string | boolean;
  readonly volumeMaxsize?: string;
  readonly volumeTotalsize?: string;
}

/** `vdvs vmgroup access ...` */
export function addAccessCommands(group: Command, shell: Shell): void {
  const access = branch(group, 'access', 'what a vmgroup may do on each datastore', [
    'vdvs vmgroup access add --name=Dev --datastore=fast --allow-create --volume-maxsize=10gb --volume-totalsize=100gb',
    'vdvs vmgroup access set --name=Dev --datastore=fast --volume-totalsize=unlimited',
    'vdvs vmgroup access ls --name=Dev',
  ]);
  const changes = { add: 'gives access to one more datastore', set: 'changes what is named' } as const;
  for (const change of ['add', 'set'] as const) {
    leaf(access, change, changes[change], [
      `vdvs vmgroup access ${change} --name=Dev --datastore=fast --allow-create=true --volume-totalsize=100gb`,
      `vdvs vmgroup access ${change} --name=Dev --datastore=_ALL_DS --allow-create=false`,
    ])
      .requiredOption('--name <vmgroup>', 'the vmgroup')
      .requiredOption(
        '--datastore <name>',
        'a datastore, _VM_DS (that of the hosts) or _ALL_DS (all not named)',
      )
      .option('--allow-create [boolean]', 'whether it may create and remove volumes')
      .option('--volume-maxsize <size>', 'of one volume: for example 10gb, or unlimited')
      .option(
        '--volume-totalsize <size>',
        'of all its volumes on the datastore: for example 1tb, or unlimited',
      )
      .action(async (options: AccessOptions) => {
        await (await shell.client()).changeAccess(options.name, options.datastore, {
          change,
          allowCreate: parseBoolean('--allow-create', options.allowCreate),
          maxSize: options.volumeMaxsize,
          totalSize: options.volumeTotalsize,
        });
        tellDone(shell, options, `vmgroup ${options.name}: access to ${options.datastore} changed`);
      });
  }
  leaf(access, 'rm', 'takes access to a datastore away; volumes stay, and cannot be attached', [
    'vdvs vmgroup access rm --name=Dev --datastore=fast',
  ])
    .requiredOption('--name <vmgroup>', 'the vmgroup')
    .requiredOption('--datastore <name>', 'a datastore, _VM_DS or _ALL_DS')
    .option('-y, --yes', 'without asking')
    .action(async (options: AccessOptions) => {
      const { name, datastore } = options;
      await requireConsent(shell, options, `vmgroup ${name} loses its access to ${datastore}.`);
      await (await shell.client()).removeAccess(name, datastore);
      tellDone(shell, options, `vmgroup ${name}: access to ${datastore} removed`);
    });
  leaf(access, 'ls', 'what a vmgroup may do', ['vdvs vmgroup access ls --name=Dev --json'])
    .requiredOption('--name <vmgroup>', 'the vmgroup')
    .action(async (options: CommonOptions & { name: string }) => {
      const found = findGroup(await (await shell.client()).groups(), options.name);
      show(shell, options, found.access, renderAccess);
    });
}
