import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DatastoreBackend, Disk } from '../../src/vdvs/backends/backend.ts';
import { parseBlockOptions } from '../../src/vdvs/options.ts';

/** A backend on an empty datastore, and a way to read and write a disk's bytes as an attached host would. */
export interface BackendUnderTest {
  backend: DatastoreBackend;
  /** A second service instance on the same datastore. */
  other: DatastoreBackend;
  read(disk: Disk, offset: number, length: number): Promise<Buffer>;
  write(disk: Disk, offset: number, bytes: Buffer): Promise<void>;
  /** Makes what an attached host makes to say that it has let go of the disk for good. */
  release(disk: Disk, epoch: number): Promise<void>;
  /** Names of everything that the datastore holds. */
  contents(): Promise<string[]>;
  /** Takes the datastore away. */
  breakDatastore(): Promise<void>;
  end(): Promise<void>;
}

const mb = 2 ** 20;

/** What every backend promises. */
export function backendContract(name: string, start: () => Promise<BackendUnderTest>): void {
  describe(`backend ${name}`, () => {
    let under: BackendUnderTest;
    beforeEach(async () => {
      under = await start();
    });
    afterEach(async () => {
      await under.end();
    });

    const makeDisk = (volume: string, overrides: Partial<Disk> = {}): Disk => ({
      id: { datastore: 'ds', name: volume },
      disk: under.backend.diskPath(volume),
      uuid: randomUUID(),
      sizeBytes: 8 * mb,
      diskformat: 'thin',
      ...overrides,
    });

    it('makes a disk of the size that was asked for, all zeroes', async () => {
      const disk = makeDisk('a');
      await under.backend.create(disk);
      expect((await under.backend.usage(disk))?.sizeBytes).toBe(8 * mb);
      expect(await under.read(disk, 8 * mb - 4096, 4096)).toEqual(Buffer.alloc(4096));
    });

    it('takes up no space for a thin disk and all of it for thick ones', async () => {
      const thin = makeDisk('thin');
      await under.backend.create(thin);
      expect((await under.backend.usage(thin))?.allocatedBytes).toBeLessThan(mb);
      for (const diskformat of ['zeroedthick', 'eagerzeroedthick'] as const) {
        const thick = makeDisk(diskformat, { diskformat });
        await under.backend.create(thick);
        expect((await under.backend.usage(thick))?.allocatedBytes).toBeGreaterThanOrEqual(8 * mb);
      }
    });

    it('leaves an existing disk and its content alone when it is made again', async () => {
      const disk = makeDisk('a');
      await under.backend.create(disk);
      await under.write(disk, 4096, Buffer.from('precious'));
      await under.backend.create(disk);
      await under.other.create(disk);
      expect((await under.read(disk, 4096, 8)).toString()).toBe('precious');
    });

    it('lets several services make the same disk at once', async () => {
      const disk = makeDisk('a');
      await Promise.all([1, 2, 3, 4].flatMap(() => [under.backend.create(disk), under.other.create(disk)]));
      expect((await under.backend.usage(disk))?.sizeBytes).toBe(8 * mb);
    });

    it('does not touch a disk of the same name with another identity', async () => {
      const disk = makeDisk('a');
      await under.backend.create(disk);
      await under.write(disk, 0, Buffer.from('precious'));
      const stranger = makeDisk('a');
      await expect(under.backend.create(stranger)).rejects.toMatchObject({ code: 'exists' });
      await expect(under.backend.remove(stranger)).rejects.toMatchObject({ code: 'exists' });
      expect((await under.read(disk, 0, 8)).toString()).toBe('precious');
    });

    it('removes a disk with all that belongs to it, again without harm', async () => {
      const disk = makeDisk('a');
      await under.backend.create(disk);
      await under.backend.remove(disk);
      await under.backend.remove(disk);
      expect(await under.contents()).toEqual([]);
      expect(await under.backend.usage(disk)).toBeUndefined();
    });

    it('says where an attached disk is, and refuses one that is not there', async () => {
      const disk = makeDisk('a');
      await expect(under.backend.attach(disk, 'node', 1)).rejects.toMatchObject({ code: 'unavailable' });
      await under.backend.create(disk);
      expect(await under.backend.attach(disk, 'node', 1)).toHaveProperty('kind');
      await under.backend.detach(disk, 'node');
      await under.backend.detach(disk, 'node');
    });

    it('refuses a thick disk that does not fit, leaving nothing behind', async () => {
      const disk = makeDisk('a', { diskformat: 'eagerzeroedthick', sizeBytes: 2 ** 52 });
      await expect(under.backend.create(disk)).rejects.toMatchObject({ code: 'no_space' });
      expect(await under.contents()).toEqual([]);
    });

    it('says so when the datastore is gone, and never that a disk is', async () => {
      const disk = makeDisk('a');
      await under.backend.create(disk);
      await under.breakDatastore();
      await expect(under.backend.create(makeDisk('b'))).rejects.toMatchObject({ code: 'unavailable' });
      await expect(under.backend.remove(disk)).rejects.toMatchObject({ code: 'unavailable' });
      await expect(under.backend.usage(disk)).rejects.toMatchObject({ code: 'unavailable' });
    });

    it.each(['thin', 'zeroedthick', 'eagerzeroedthick'] as const)(
      'copies a disk with its content to a %s one, once',
      async (diskformat) => {
        const from = makeDisk('from');
        await under.backend.create(from);
        await under.write(from, 4096, Buffer.from('precious'));
        const disk = makeDisk('to', { diskformat });
        const source = await under.backend.source(from);
        await Promise.all([under.backend.copy(disk, source), under.other.copy(disk, source)]);
        await under.write(from, 4096, Buffer.from('changed!'));
        await under.other.copy(disk, await under.other.source(from));
        expect((await under.read(disk, 4096, 8)).toString()).toBe('precious');
        expect(await under.read(disk, 8 * mb - 4096, 4096)).toEqual(Buffer.alloc(4096));
        const { sizeBytes, allocatedBytes } = (await under.backend.usage(disk)) ?? {};
        expect(sizeBytes).toBe(8 * mb);
        if (diskformat === 'thin') expect(allocatedBytes).toBeLessThan(mb);
        else expect(allocatedBytes).toBeGreaterThanOrEqual(8 * mb);
      },
    );

    it('copies nothing over a disk that is not the copy, nor from one that is not the source', async () => {
      const [from, other] = [makeDisk('from'), makeDisk('other')];
      await under.backend.create(from);
      await under.backend.create(other);
      const source = await under.backend.source(from);
      await expect(under.backend.copy(makeDisk('other'), source)).rejects.toMatchObject({ code: 'exists' });
      await expect(under.backend.source(makeDisk('from'))).rejects.toMatchObject({ code: 'exists' });
      await expect(under.backend.attach(makeDisk('from'), 'n', 1)).rejects.toMatchObject({ code: 'exists' });
    });

    it.each(['thin', 'zeroedthick', 'eagerzeroedthick'] as const)(
      'grows a %s disk and keeps its content, from several sides at once, and never shrinks it',
      async (diskformat) => {
        const disk = makeDisk('a', { diskformat });
        await under.backend.create(disk);
        await under.write(disk, 8 * mb - 8, Buffer.from('precious'));
        const larger = { ...disk, sizeBytes: 12 * mb };
        await Promise.all([under.backend.grow(larger), under.other.grow(larger)]);
        await under.write(disk, 12 * mb - 8, Buffer.from('new data'));
        await under.backend.grow(larger);
        await under.other.grow(disk);
        expect((await under.read(disk, 8 * mb - 8, 16)).toString()).toBe('precious\0\0\0\0\0\0\0\0');
        expect((await under.read(disk, 12 * mb - 8, 8)).toString()).toBe('new data');
        const { sizeBytes, allocatedBytes } = (await under.backend.usage(disk)) ?? {};
        expect(sizeBytes).toBeGreaterThanOrEqual(12 * mb);
        if (diskformat !== 'thin') expect(allocatedBytes).toBeGreaterThanOrEqual(12 * mb);
        expect((await under.backend.contents()).disks).toMatchObject([{ uuid: disk.uuid }]);
      },
    );

    it('refuses to grow a thick disk beyond its space, and leaves it usable', async () => {
      const disk = makeDisk('a', { diskformat: 'zeroedthick' });
      await under.backend.create(disk);
      await expect(under.backend.grow({ ...disk, sizeBytes: 2 ** 52 })).rejects.toMatchObject({
        code: 'no_space',
      });
      expect((await under.backend.usage(disk))?.sizeBytes).toBe(8 * mb);
    });

    it('keeps notes beside a disk, and finds both again', async () => {
      const disk = makeDisk('a');
      await under.backend.create(disk);
      expect((await under.other.contents()).disks[0]?.notes).toBeUndefined();
      await under.backend.describe(disk, { v: 1, text: 'first' });
      await under.backend.describe(disk, { v: 1, text: 'second' });
      expect(await under.other.contents()).toEqual({
        disks: [{ disk: disk.disk, uuid: disk.uuid, sizeBytes: 8 * mb, notes: { v: 1, text: 'second' } }],
        strange: [],
      });
      await expect(under.backend.describe(makeDisk('a'), {})).rejects.toMatchObject({ code: 'exists' });
    });

    it('takes a disk over from who knew it by its former identity, again without harm', async () => {
      const disk = makeDisk('a');
      await under.backend.create(disk);
      const mine = { ...disk, uuid: randomUUID() };
      await expect(under.backend.takeOver(mine, randomUUID())).rejects.toMatchObject({ code: 'exists' });
      await under.backend.takeOver(mine, disk.uuid);
      await under.backend.takeOver(mine, disk.uuid);
      await expect(under.other.attach(disk, 'node', 1)).rejects.toMatchObject({ code: 'exists' });
      await expect(under.other.remove(disk)).rejects.toMatchObject({ code: 'exists' });
      expect(await under.backend.attach(mine, 'node', 1)).toHaveProperty('kind');
    });

    it('leaves a lost holder behind, who may write as it likes, or says that it cannot', async () => {
      const disk = makeDisk('a');
      await under.backend.create(disk);
      await under.write(disk, 4096, Buffer.from('precious'));
      const extent = await under.backend.leaveBehind?.(disk, 5);
      if (extent === undefined) return;
      // As long as nothing came of it, the disk is what it was.
      await under.write(disk, 8192, Buffer.from('late'));
      expect((await under.other.contents()).disks).toMatchObject([{ uuid: disk.uuid }]);
      const moved = { ...disk, extent };
      await under.other.attach(moved, 'other', 1);
      expect((await under.read(moved, 4096, 8)).toString()).toBe('precious');
      expect(await under.read(moved, 8192, 4)).toEqual(Buffer.alloc(4));
      expect((await under.backend.usage(moved))?.sizeBytes).toBe(8 * mb);
      expect(await under.backend.contents()).toEqual({
        disks: [{ disk: disk.disk, uuid: disk.uuid, sizeBytes: 8 * mb, extent, notes: undefined }],
        strange: [],
      });
      await under.backend.grow({ ...moved, sizeBytes: 12 * mb });
      const again = (await under.other.leaveBehind?.({ ...moved, sizeBytes: 12 * mb }, 6)) ?? '';
      await under.backend.attach({ ...moved, extent: again }, 'node', 1);
      expect((await under.read({ ...moved, extent: again }, 4096, 8)).toString()).toBe('precious');
      // Whoever was stopped in the middle of an earlier takeover does no harm when it goes on.
      await expect(under.other.attach(moved, 'other', 1)).rejects.toThrow();
      await expect(under.other.attach(disk, 'other', 1)).rejects.toThrow();
      const lost = (await under.other.leaveBehind?.({ ...moved, extent: again }, 7)) ?? '';
      await under.backend.discard?.(lost);
      const left = await under.backend.leaveBehind?.({ ...moved, extent: again }, 7);
      const record = { epoch: 6, extent: again };
      expect(await under.backend.sweep(async () => new Map([[disk.disk, record]]))).toEqual([]);
      const later = { epoch: 7, extent: again };
      expect(await under.backend.sweep(async () => new Map([[disk.disk, later]]))).toEqual([left]);
      expect((await under.read({ ...moved, extent: again }, 4096, 8)).toString()).toBe('precious');
      await under.backend.remove({ ...moved, extent: again });
      expect(await under.contents()).toEqual([]);
    });

    it('knows the word of a holder that has let go, of this epoch and this very disk', async () => {
      const disk = makeDisk('a');
      await under.backend.create(disk);
      const said = (epoch: number, of = disk) =>
        Promise.all([under.backend, under.other].map((one) => one.hasReleaseNote?.(of, epoch)));
      if ((await said(3))[0] === undefined) return;
      expect(await said(3)).toEqual([false, false]);
      await under.release(disk, 3);
      expect(await said(3)).toEqual([true, true]);
      expect([await said(2), await said(4), await said(3, makeDisk('a'))].flat()).not.toContain(true);
      // Nobody takes it for a disk.
      expect((await under.other.contents()).disks).toMatchObject([{ uuid: disk.uuid }]);
      expect((await under.other.contents()).strange).toEqual([]);
      // The next holder has the disk: the word before has had its use.
      await under.other.attach(disk, 'other', 4);
      expect(await said(3)).toEqual([false, false]);
      await under.release(disk, 3);
      await under.release(disk, 4);
      const record = { epoch: 4, extent: undefined };
      expect(await under.backend.sweep(async () => new Map([[disk.disk, record]]))).toHaveLength(1);
      expect([await said(3), await said(4)].flat()).toEqual([false, false, true, true]);
      await under.backend.remove(disk);
      expect(await under.contents()).toEqual([]);
      await under.release({ ...disk, disk: under.backend.diskPath('gone') }, 3).catch(() => undefined);
      await under.backend.sweep(async () => new Map());
      expect(await under.contents()).toEqual([]);
    });

    it('stamps a disk anew after each write, wherever it is looked at', async () => {
      const disk = makeDisk('a');
      await under.backend.create(disk);
      if (!under.backend.stamp || !under.other.stamp) return;
      const stamps = new Set([await under.backend.stamp(disk)]);
      expect(await under.other.stamp(disk)).toBe([...stamps][0]);
      for (let write = 1; write <= 3; write++) {
        // Longer than a tick of any kernel's clock.
        await sleep(50);
        // The same bytes each time: what counts is that somebody wrote.
        await under.write(disk, 4096, Buffer.from('same'));
        stamps.add(await under.other.stamp(disk));
        expect(stamps.size).toBe(1 + write);
        expect(await under.backend.stamp(disk)).toBe([...stamps].at(-1));
      }
    });

    it('a takeover that stopped half way is completed by the next attach, its leftovers are swept', async () => {
      const disk = makeDisk('a');
      await under.backend.create(disk);
      const extent = await under.backend.leaveBehind?.(disk, 5);
      if (extent === undefined) return;
      const record = { epoch: 5, extent };
      expect(await under.other.sweep(async () => new Map([[disk.disk, record]]))).toEqual([]);
      await Promise.all([
        under.backend.attach({ ...disk, extent }, 'node', 1),
        under.other.attach({ ...disk, extent }, 'node', 1),
      ]);
      expect((await under.backend.contents()).disks).toMatchObject([{ extent }]);
      expect(await under.contents()).toHaveLength(2);
    });

    it('leads nobody back to an older place who knows the disk from before a takeover', async () => {
      const disk = makeDisk('a');
      await under.backend.create(disk);
      const extent = await under.backend.leaveBehind?.(disk, 5);
      if (extent === undefined) return;
      const moved = { ...disk, extent };
      // What `contents` finds must stay what the takeover made of it.
      const late = [
        () => under.other.attach(disk, 'node', 1),
        () => under.other.grow({ ...disk, sizeBytes: 12 * mb }),
        () => under.other.source(disk),
        () => under.other.leaveBehind?.(disk, 6),
      ];
      await under.backend.attach(moved, 'node', 1);
      for (const act of late) await expect(act()).rejects.toMatchObject({ code: 'conflict' });
      expect((await under.backend.contents()).disks).toMatchObject([{ extent, sizeBytes: 8 * mb }]);
      expect(await under.contents()).toHaveLength(2);
    });

    it.each(['thin', 'zeroedthick', 'eagerzeroedthick'] as const)(
      'takes up as much for a %s disk as before when a lost holder is left behind',
      async (diskformat) => {
        const disk = makeDisk('a', { diskformat });
        await under.backend.create(disk);
        await under.write(disk, 4096, Buffer.from('precious'));
        const before = (await under.backend.usage(disk))?.allocatedBytes ?? 0;
        const extent = await under.backend.leaveBehind?.(disk, 1);
        if (extent === undefined) return;
        const moved = { ...disk, extent };
        await under.backend.attach(moved, 'node', 1);
        expect((await under.read(moved, 4096, 8)).toString()).toBe('precious');
        const after = (await under.backend.usage(moved))?.allocatedBytes ?? 0;
        if (diskformat === 'thin') expect(after).toBeLessThan(mb);
        else expect(after).toBeGreaterThanOrEqual(before);
      },
    );

    it('says what options it cannot do', () => {
      expect(under.backend.unsupported(parseBlockOptions({ size: '1gb' }))).toBeUndefined();
    });
  });
}
