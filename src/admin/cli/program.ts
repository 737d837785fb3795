import { Command } from 'commander';
import type { AdminClient } from './admin-client.ts';
import { renderStatus, renderVolume, renderVolumes } from './render.ts';

/** What the command line needs. */
export interface ProgramParts {
  /** A client of the manager that the user named, or of the one on this node. */
  readonly connect: (manager: string | undefined) => Promise<AdminClient>;
  /** Writes one text and a line end to standard output. */
  readonly print: (text: string) => void;
  /** The same to standard error. */
  readonly warn: (text: string) => void;
  readonly version: string;
}

const json = (value: unknown): string => JSON.stringify(value, undefined, 2);

/** The `vfile` command. Parse with `parseAsync`; failures are thrown as VolumeError. */
export function createProgram({ connect, print, warn, version }: ProgramParts): Command {
  const program = new Command('vfile')
    .description('Looks at the shared volumes of a Docker Swarm, and makes them larger.')
    .version(version)
    .option('--manager <address>', 'the manager to ask; default: the one on this node')
    .showHelpAfterError()
    .addHelpText(
      'after',
      `
Volumes are created, used and removed with Docker:
  docker volume create -d vfile -o size=10gb shared
  docker service create --mount type=volume,source=shared,target=/data,volume-driver=vfile ...

Examples:
  vfile status                     who leads, which nodes are alive, what state volumes are in
  vfile volume ls                  all volumes
  vfile volume inspect shared      one volume: what it waits for, who serves it, who mounts it
  vfile volume resize shared 20gb  more space, while it is used
  vfile volume ls --json           for scripts

Exit codes: 0 done, 2 wrong usage, 3 no such volume, 9 the manager does not answer.`,
    );
  const client = () => connect(program.opts<{ manager?: string }>().manager);
  const tellAge = ({ synced, problem }: { synced: boolean; problem?: string | undefined }): void => {
    if (!synced) warn(`what follows may be old: ${problem ?? 'etcd is out of reach'}`);
  };

  program
    .command('status')
    .description('the cluster at one look')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  vfile status')
    .action(async (options: { json?: boolean }) => {
      const api = await client();
      const [leader, nodes, volumes] = await Promise.all([api.leader(), api.nodes(), api.volumes()]);
      tellAge(volumes);
      const all = { leader: leader.leader, nodes: nodes.nodes, volumes: volumes.volumes };
      print(options.json ? json(all) : renderStatus(all));
    });

  const volume = program.command('volume').description('shared volumes');
  volume
    .command('ls')
    .description('all volumes')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  vfile volume ls --json')
    .action(async (options: { json?: boolean }) => {
      const answer = await (await client()).volumes();
      tellAge(answer);
      print(options.json ? json(answer.volumes) : renderVolumes(answer.volumes));
    });
  volume
    .command('inspect')
    .description('one volume in full')
    .argument('<name>', 'name of the volume')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  vfile volume inspect shared')
    .action(async (name: string, options: { json?: boolean }) => {
      const answer = await (await client()).volume(name);
      tellAge(answer);
      print(options.json ? json(answer.volume) : renderVolume(answer.volume));
    });
  volume
    .command('resize')
    .description('makes a volume larger while it is used; never smaller')
    .argument('<name>', 'name of the volume')
    .argument('<size>', 'its new size, for example 20gb')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  vfile volume resize shared 20gb')
    .action(async (name: string, size: string, options: { json?: boolean }) => {
      const answer = await (await client()).resize(name, size);
      const later = answer.growing ? '; its file system follows when its host has grown it' : '';
      print(options.json ? json(answer) : `volume ${name} has ${size}${later}`);
    });
  return program;
}
