import { Command, InvalidArgumentError, Option } from 'commander';
import type { Clock } from '../../lib/clock.ts';
import type { AdminClient } from './admin-client.ts';
import { moveVolume } from './move-volume.ts';
import { renderMoved, renderStatus, renderVolume, renderVolumes } from './render.ts';

/** What the command line needs. */
export interface ProgramParts {
  /** A client of the manager that the user named, or of the one on this node. */
  readonly connect: (manager: string | undefined) => Promise<AdminClient>;
  /** Writes one text and a line end to standard output. */
  readonly print: (text: string) => void;
  /** The same to standard error. */
  readonly warn: (text: string) => void;
  readonly version: string;
  readonly clock: Clock;
}

/** A number of seconds from the command line, in ms. */
function secondsOf(text: string): number {
  const value = Number(text);
  if (!(value >= 1 && value <= 3_600)) throw new InvalidArgumentError('must be 1 to 3600 seconds');
  return value * 1_000;
}

const json = (value: unknown): string => JSON.stringify(value, undefined, 2);

/** The `vfile` command. Parse with `parseAsync`; failures are thrown as VolumeError. */
export function createProgram({ connect, print, warn, version, clock }: ProgramParts): Command {
  const program = new Command('vfile')
    .description(
      'Looks at the shared volumes of a Docker Swarm, makes them larger, and moves their file servers.',
    )
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
  vfile status                     who leads, which nodes are alive, what state etcd and volumes are in
  vfile volume ls                  all volumes
  vfile volume inspect shared      one volume: what it waits for, who serves it, who mounts it
  vfile volume resize shared 20gb  more space, while it is used
  vfile volume move shared         serve it from another node: planned, users wait a moment
  vfile volume ls --json           for scripts

Exit codes: 0 done, 2 wrong usage, 3 no such volume or node, 6 not now, 9 the manager does not answer, 10 not in time.`,
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
      const [{ leader }, { etcd }, { nodes }, volumes] = await Promise.all([
        api.leader(),
        api.etcd(),
        api.nodes(),
        api.volumes(),
      ]);
      tellAge(volumes);
      const all = { leader, etcd, nodes, volumes: volumes.volumes };
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
  volume
    .command('move')
    .description('serve a volume from another node; open files and locks stay, users wait a moment')
    .argument('<name>', 'name of the volume')
    .option('--to <node>', 'host name or ID of the node; default: whichever is best')
    .addOption(
      new Option('--timeout <seconds>', 'how long to wait for it').argParser(secondsOf).default(60_000, '60'),
    )
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  vfile volume move shared --to node3')
    .action(async (name: string, options: { to?: string; timeout: number; json?: boolean }) => {
      const { to, timeout: timeoutMs } = options;
      const api = await client();
      const moved = await moveVolume({ api, volume: name, to, timeoutMs, clock, say: warn });
      print(options.json ? json(moved) : renderMoved(moved));
    });
  return program;
}
