import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { buildPrograms } from '../../integration/build-programs.ts';
import { startWorld, type World } from '../../integration/vdvs/world.ts';

/** Times in ms of both sides, taken in turns in one run. */
export interface BlockSeries {
  readonly ours: number[];
  readonly byHand: number[];
}

/** What vDVS costs on this machine itself: real processes, etcd, loop devices and file systems, no lab. */
export interface BlockFigures {
  /** `VolumeDriver.Mount` of a volume with a file system, against `losetup` and `mount`. */
  readonly attach: BlockSeries;
  /** `VolumeDriver.Create`, against `truncate`, `mkfs` and one write to etcd. */
  readonly create: BlockSeries;
  /** Create and the first mount, which makes the file system, against all of the above by hand. */
  readonly first: BlockSeries;
  /** `VolumeDriver.List` with so many volumes. */
  readonly list: ReadonlyMap<number, number[]>;
}

const command = promisify(execFile);
const size = '100mb';

async function time<T>(work: () => Promise<T>): Promise<{ ms: number; value: T }> {
  const began = performance.now();
  const value = await work();
  return { ms: performance.now() - began, value };
}

/** What an administrator would type, on the same file system. */
class ByHand {
  readonly #world: World;
  readonly #mountpoint: string;

  constructor(world: World) {
    this.#world = world;
    this.#mountpoint = join(world.dir, 'by-hand');
  }

  file(name: string): string {
    return join(this.#world.slow, `${name}.img`);
  }

  async create(name: string): Promise<void> {
    await command('truncate', ['-s', '100M', this.file(name)]);
    await command('mkfs.ext4', ['-q', this.file(name)]);
    await this.#world.store.txn([], [{ put: `/bench/${name}`, value: { name } }]);
  }

  /** @returns the loop device. */
  async mount(name: string): Promise<string> {
    const { stdout } = await command('losetup', ['--direct-io=on', '--find', '--show', this.file(name)]);
    await command('mount', [stdout.trim(), this.#mountpoint]);
    return stdout.trim();
  }

  async unmount(device: string): Promise<void> {
    await command('umount', [this.#mountpoint]);
    await command('losetup', ['-d', device]);
  }

  async prepare(): Promise<void> {
    await mkdir(this.#mountpoint);
  }
}

async function attachAndCreate(
  world: World,
  runs: number,
  say: (text: string) => void,
): Promise<Omit<BlockFigures, 'list'>> {
  const byHand = new ByHand(world);
  await byHand.prepare();
  const series = (): BlockSeries => ({ ours: [], byHand: [] });
  const figures = { attach: series(), create: series(), first: series() };
  // The first round fills caches on both sides.
  for (let run = 0; run <= runs; run++) {
    const name = `bench-${run}`;
    const created = await time(() => world.a.create(name, { size }));
    const opened = await time(() => world.a.mount(name, 'first'));
    await world.a.unmount(name, 'first');
    const attached = await time(() => world.a.mount(name, 'again'));
    await world.a.unmount(name, 'again');
    const made = await time(() => byHand.create(name));
    const mounted = await time(() => byHand.mount(name));
    await byHand.unmount(mounted.value);
    const again = await time(() => byHand.mount(name));
    await byHand.unmount(again.value);
    if (run === 0) continue;
    figures.create.ours.push(created.ms);
    figures.create.byHand.push(made.ms);
    figures.first.ours.push(created.ms + opened.ms);
    figures.first.byHand.push(made.ms + mounted.ms);
    figures.attach.ours.push(attached.ms);
    figures.attach.byHand.push(again.ms);
    say(
      [
        `block volume ${run}/${runs}:`,
        `attach and mount ${attached.ms.toFixed(0)} ms, by hand ${again.ms.toFixed(0)} ms;`,
        `create ${created.ms.toFixed(0)} ms, by hand ${made.ms.toFixed(0)} ms`,
      ].join(' '),
    );
  }
  return figures;
}

async function lists(
  world: World,
  runs: number,
  say: (text: string) => void,
): Promise<ReadonlyMap<number, number[]>> {
  const found = new Map<number, number[]>();
  let volumes = runs + 1;
  for (const count of [100, 1_000]) {
    for (; volumes < count; volumes += 1) await world.a.create(`list-${volumes}`, { size });
    const values: number[] = [];
    for (let run = 0; run <= runs; run++) {
      const { ms } = await time(() => world.a.call('List', {}));
      if (run > 0) values.push(ms);
    }
    say(`list of ${count} volumes: ${values.map((ms) => ms.toFixed(0)).join(', ')} ms`);
    found.set(count, values);
  }
  return found;
}

/** Measures vDVS on this machine. Needs root; leaves nothing behind. */
export async function blockFigures(runs: number, say: (text: string) => void): Promise<BlockFigures> {
  buildPrograms();
  const world = await startWorld();
  try {
    await world.a.start();
    const figures = await attachAndCreate(world, runs, say);
    return { ...figures, list: await lists(world, runs, say) };
  } finally {
    await world.end();
  }
}
