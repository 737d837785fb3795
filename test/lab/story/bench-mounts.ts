import { z } from 'zod';
import {
  createVolume,
  holdVolume,
  image,
  inspect,
  reachState,
  removeContainers,
  removeVolume,
  serverHost,
} from '../fixture.ts';
import { engineJson } from '../tool/engine.ts';
import type { Lab } from '../tool/lab.ts';
import { waitFor } from '../tool/wait.ts';
import { volumeMount } from './volume-mount.ts';

/** Times in ms of both sides, taken in turns in one run. */
export interface MountSeries {
  readonly vfile: number[];
  readonly plain: number[];
}

const holder = 'bench-holder';
const fileserverImage = 'vfile/fileserver:0.1.0';

async function time(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

const runWith = (lab: Lab, host: string, mount: string): Promise<string> =>
  lab.dockerOk(host, ['run', '--rm', '--network', 'none', '--mount', mount, image, 'true']);

/** A host that neither serves the volume nor holds it: each of its mounts is a new one. */
async function bystander(lab: Lab, volume: string, but: readonly string[]): Promise<string> {
  const server = await serverHost(lab, 'node1', volume);
  const host = lab.hostNames.find((name) => name !== server && !but.includes(name));
  if (host === undefined) throw new Error('the benchmark needs three hosts');
  return host;
}

/**
 * `docker run` with a vFile volume whose server runs, against `docker run` with a plain NFS volume of Docker's local driver on
 * the same server.
 */
export async function warmMounts(lab: Lab, runs: number, say: (text: string) => void): Promise<MountSeries> {
  const volume = 'bench-warm';
  const plain = 'bench-plain';
  await createVolume(lab, 'node1', volume);
  await holdVolume(lab, 'node1', volume, holder);
  const host = await bystander(lab, volume, ['node1']);
  const server = lab.addressOf(await serverHost(lab, 'node1', volume));
  const port = z.number().parse((await inspect(lab, host, volume)).Status?.['File server Port']);
  await lab.dockerOk(host, [
    ...['volume', 'create', '--driver', 'local', '--opt', 'type=nfs', '--opt', 'device=:/vol'],
    ...['--opt', `o=addr=${server},port=${port},vers=4.1,hard,proto=tcp`, plain],
  ]);
  const series: MountSeries = { vfile: [], plain: [] };
  try {
    for (let run = 0; run <= runs; run++) {
      const vfile = await time(() => runWith(lab, host, volumeMount(volume)));
      const local = await time(() =>
        runWith(lab, host, `type=volume,source=${plain},target=/volume,volume-nocopy`),
      );
      // The first round fills caches on both sides.
      if (run === 0) continue;
      series.vfile.push(vfile);
      series.plain.push(local);
      say(`warm mount ${run}/${runs}: vFile ${vfile.toFixed(0)} ms, plain NFS ${local.toFixed(0)} ms`);
    }
  } finally {
    await lab.docker(host, ['volume', 'rm', plain]);
    await removeContainers(lab, 'node1', holder);
    await removeVolume(lab, 'node1', volume);
  }
  return series;
}

const tasksSchema = z.array(z.object({ Status: z.object({ State: z.string() }) }));

/** From `docker service create` until its task runs. */
async function bareService(lab: Lab, manager: string, name: string): Promise<number> {
  const { dockerSocket } = lab.host(manager);
  const filters = encodeURIComponent(JSON.stringify({ service: [name] }));
  const ms = await time(async () => {
    await lab.dockerOk(manager, [
      ...['service', 'create', '--detach', '--no-resolve-image', '--network', 'host', '--name', name],
      ...['--stop-grace-period', '1s', fileserverImage, 'sleep', 'infinity'],
    ]);
    await waitFor(
      async () => {
        const tasks = await engineJson(dockerSocket, `/tasks?filters=${filters}`, tasksSchema);
        const runs = tasks.some(({ Status }) => Status.State === 'running');
        return runs ? { done: true, value: undefined } : { done: false, reason: JSON.stringify(tasks) };
      },
      { what: `service ${name}`, timeoutMs: 60_000, everyMs: 20 },
    );
  });
  await lab.dockerOk(manager, ['service', 'rm', name]);
  return ms;
}

/**
 * `docker run` with a vFile volume whose server does not run, against `docker service create` of the server's image until it
 * runs.
 */
export async function coldMounts(lab: Lab, runs: number, say: (text: string) => void): Promise<MountSeries> {
  const volume = 'bench-cold';
  await createVolume(lab, 'node1', volume, { linger: '0s' });
  const series: MountSeries = { vfile: [], plain: [] };
  try {
    for (let run = 0; run <= runs; run++) {
      const vfile = await time(() => runWith(lab, 'node2', volumeMount(volume)));
      await serverGone(lab, volume);
      const service = await bareService(lab, 'node1', 'bench-bare');
      // The first mount of all also makes the file system.
      if (run === 0) continue;
      series.vfile.push(vfile);
      series.plain.push(service);
      say(`cold mount ${run}/${runs}: vFile ${vfile.toFixed(0)} ms, bare service ${service.toFixed(0)} ms`);
    }
  } finally {
    await removeVolume(lab, 'node1', volume);
  }
  return series;
}

async function serverGone(lab: Lab, volume: string): Promise<void> {
  await reachState(lab, 'node1', volume, 'Ready');
  await waitFor(
    async () => {
      const left = await lab.dockerOk('node1', [
        ...['service', 'ls', '--quiet', '--filter', `label=org.vfile.volume=${volume}`],
      ]);
      return left === '' ? { done: true, value: undefined } : { done: false, reason: `service ${left}` };
    },
    { what: `the server of ${volume} to stop`, timeoutMs: 60_000, everyMs: 100 },
  );
}
