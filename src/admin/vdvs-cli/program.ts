import { Command } from 'commander';
import { addConfigCommands, addPolicyCommands } from './config-commands.ts';
import { addDatastoreCommands, addSnapshotCommands } from './disk-commands.ts';
import { addGroupCommands } from './group-commands.ts';
import { exampleText, type Terminal } from './terminal.ts';
import { addVolumeCommands } from './volume-commands.ts';

/** The `vdvs` command. Parse with `parseAsync`; failures are thrown as VolumeError or CommanderError. */
export function createVdvsProgram(parts: Terminal & { readonly version: string }): Command {
  const program = new Command('vdvs')
    .description('Administers the block volumes of a Docker Swarm: volumes, vmgroups, rights and quotas.')
    .version(parts.version)
    .option('--manager <address>', 'the manager to ask; default: the one on this node')
    .showHelpAfterError()
    .addHelpText(
      'after',
      `${exampleText([
        'vdvs status                         the service at one look',
        'vdvs volume ls                      all volumes',
        'vdvs vmgroup create --name=Dev --default-datastore=default --vm-list=host1',
        'vdvs vmgroup access set --name=Dev --datastore=default --volume-totalsize=100gb',
      ])}

Volumes are created, used and removed with Docker: docker volume create -d vdvs -o size=10gb db

Exit codes: 0 done, 2 wrong usage or not confirmed, 3 not found, 4 exists, 5 in use, 6 changed by others, 7 not allowed,
  8 quota or space, 9 the manager does not answer, 10 no answer in time, 1 anything else.`,
    );
  const shell = {
    ...parts,
    client: () => parts.connect(program.opts<{ manager?: string }>().manager),
  };
  addVolumeCommands(program, shell);
  addSnapshotCommands(program, shell);
  addDatastoreCommands(program, shell);
  addGroupCommands(program, shell);
  addPolicyCommands(program, shell);
  addConfigCommands(program, shell);
  return program;
}

/** Lets every command throw instead of ending the process. */
export function throwInsteadOfExit(command: Command): void {
  command.exitOverride();
  for (const sub of command.commands) throwInsteadOfExit(sub);
}
