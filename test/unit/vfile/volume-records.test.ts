import { beforeEach, describe, expect, it } from 'vitest';
import { createMemoryStore, type MemoryStore } from '../../../src/etcd/memory-store.ts';
import type { Store } from '../../../src/etcd/store.ts';
import { VolumeError } from '../../../src/lib/errors.ts';
import { ManualClock } from '../../../src/lib/manual-clock.ts';
import { createVolume } from '../../../src/vfile/create-volume.ts';
import { vfileKeys } from '../../../src/vfile/keys.ts';
import { recordMount, removeMount } from '../../../src/vfile/mount-records.ts';
import { freePort } from '../../../src/vfile/ports.ts';
import { readVolume } from '../../../src/vfile/read-volume.ts';
import { clearDeleting, removeVolume } from '../../../src/vfile/remove-volume.ts';
import type { MountRecord } from '../../../src/vfile/types.ts';

const clock = new ManualClock();
const nfsPorts = { first: 20_490, count: 20 };
const mount = (node: string, ids: Record<string, number> = { id1: 1 }): MountRecord => ({
  v: 1,
  node,
  host: `host-${node}`,
  address: '10.0.0.1',
  ids,
  since: '2026-01-01T00:00:00Z',
});

describe('records of volumes', () => {
  let store: MemoryStore;
  const parts = () => ({ store, clock, node: 'n1', settings: { baseDriver: 'vdvs', nfsPorts } });
  const read = async (name: string) => readVolume(name, (await store.list(vfileKeys.volume(name))).entries);

  /** The store, but `before` happens once, just before the first transaction: somebody else was faster. */
  function racing(before: () => Promise<unknown>): Store {
    const state = { raced: false };
    return {
      get: (key) => store.get(key),
      list: (prefix) => store.list(prefix),
      watch: (...args) => store.watch(...args),
      grantLease: (ttlMs) => store.grantLease(ttlMs),
      adoptLease: (id) => store.adoptLease(id),
      leaseLeft: (id) => store.leaseLeft(id),
      close: () => store.close(),
      txn: async (when, then) => {
        if (!state.raced) {
          state.raced = true;
          await before();
        }
        return store.txn(when, then);
      },
    };
  }

  /** The store, but the answer to the first transaction is lost; it was done or not. */
  function inDoubt(done: boolean, after: () => Promise<unknown> = async () => undefined): Store {
    const state = { lost: false };
    return {
      ...racing(async () => undefined),
      txn: async (when, then) => {
        if (state.lost) return store.txn(when, then);
        state.lost = true;
        if (done) await store.txn(when, then);
        await after();
        throw new VolumeError('unavailable', 'whether it was done is not known');
      },
    };
  }

  beforeEach(() => {
    store = createMemoryStore({ clock });
  });

  describe.each([true, false])('an answer of etcd is lost, and it was done: %s', (done) => {
    it('create ends well, once', async () => {
      const { spec, created } = await createVolume({ ...parts(), store: inDoubt(done) }, 'shared', {});
      expect(created).toBe(true);
      expect((await read('shared')).spec?.value).toEqual(spec);
      expect((await store.list(vfileKeys.ports)).entries).toHaveLength(1);
    });

    it('remove ends well', async () => {
      await createVolume(parts(), 'shared', {});
      await removeVolume({ store: inDoubt(done), clock }, 'shared');
      expect((await read('shared')).spec?.value.deleting).toBeDefined();
    });
  });

  it('remove: an answer is lost and the manager has removed the volume meanwhile', async () => {
    await createVolume(parts(), 'shared', {});
    const gone = () => store.txn([], [{ deletePrefix: vfileKeys.volume('shared') }]);
    await removeVolume({ store: inDoubt(true, gone), clock }, 'shared');
    await expect(removeVolume({ store, clock }, 'shared')).rejects.toMatchObject({ code: 'not_found' });
  });

  it.each(['gone', 'gone and made again'])(
    'remove: the volume is %s before the look behind the mark',
    async (how) => {
      await createVolume(parts(), 'shared', { size: '1gb' });
      const quick: Store = {
        ...racing(async () => undefined),
        txn: async (when, then) => {
          const result = await store.txn(when, then);
          await store.txn(
            [],
            [{ deletePrefix: vfileKeys.volume('shared') }, { deletePrefix: vfileKeys.ports }],
          );
          await clock.advance(1);
          if (how !== 'gone') await createVolume(parts(), 'shared', { size: '2gb' });
          return result;
        },
      };
      await removeVolume({ store: quick, clock }, 'shared');
      const { spec } = await read('shared');
      expect(spec?.value.options).toEqual(how === 'gone' ? undefined : { size: '2gb' });
      expect(spec?.value.deleting).toBeUndefined();
    },
  );

  it('with etcd away, create and remove say so', async () => {
    await createVolume(parts(), 'shared', {});
    store.goOffline();
    await expect(createVolume(parts(), 'other', {})).rejects.toMatchObject({ code: 'unavailable' });
    await expect(removeVolume(parts(), 'shared')).rejects.toMatchObject({ code: 'unavailable' });
  });

  describe('create', () => {
    it('writes spec and port together', async () => {
      const { spec, created } = await createVolume(parts(), 'shared', { size: '1gb' });
      expect(created).toBe(true);
      expect(spec).toMatchObject({ name: 'shared', baseVolume: '_vF_shared', options: { size: '1gb' } });
      expect((await store.get(vfileKeys.port(spec.port)))?.value).toEqual({ v: 1, volume: 'shared' });
      expect((await read('shared')).spec?.value).toEqual(spec);
    });

    it('again with the same or no options changes nothing', async () => {
      const first = await createVolume(parts(), 'shared', { size: '1gb' });
      for (const options of [{ size: '1gb' }, {}]) {
        expect(await createVolume(parts(), 'shared', options)).toEqual({ spec: first.spec, created: false });
      }
    });

    it('again with other options is refused, naming the difference', async () => {
      await createVolume(parts(), 'shared', { size: '1gb' });
      await expect(createVolume(parts(), 'shared', { size: '2gb' })).rejects.toMatchObject({
        code: 'exists',
        message: 'volume shared exists with other options: size is 1gb, not 2gb',
      });
    });

    it('with a bad name or option leaves nothing', async () => {
      await expect(createVolume(parts(), 'a/b', {})).rejects.toMatchObject({ code: 'invalid' });
      await expect(createVolume(parts(), 'a', { size: '2' })).rejects.toMatchObject({ code: 'invalid' });
      expect((await store.list('/')).entries).toEqual([]);
    });

    it('of the same volume on two nodes at once makes one', async () => {
      const results = await Promise.all([
        createVolume(parts(), 'shared', {}),
        createVolume({ ...parts(), node: 'n2' }, 'shared', {}),
      ]);
      expect(results.map(({ created }) => created).sort()).toEqual([false, true]);
      expect((await store.list(vfileKeys.ports)).entries).toHaveLength(1);
    });

    it('of as many volumes as there are ports, all at once, gives each its own; the next is refused', async () => {
      const names = Array.from({ length: 20 }, (_, i) => `vol${i}`);
      const made = await Promise.all(names.map((name) => createVolume(parts(), name, {})));
      expect(new Set(made.map(({ spec }) => spec.port)).size).toBe(20);
      await expect(createVolume(parts(), 'one-more', {})).rejects.toMatchObject({ code: 'no_space' });
    });

    it('when its port is taken at the last moment takes the next', async () => {
      const first = freePort('shared', nfsPorts, new Set()) ?? 0;
      const faster = racing(() =>
        store.txn([], [{ put: vfileKeys.port(first), value: { v: 1, volume: 'x' } }]),
      );
      const { spec } = await createVolume({ ...parts(), store: faster }, 'shared', {});
      expect(spec.port).toBe(freePort('shared', nfsPorts, new Set([first])));
    });

    it('while the volume is being removed is refused for now', async () => {
      await createVolume(parts(), 'shared', {});
      await removeVolume(parts(), 'shared');
      await expect(createVolume(parts(), 'shared', {})).rejects.toMatchObject({ code: 'busy' });
    });
  });

  describe('mount and remove', () => {
    beforeEach(async () => {
      await createVolume(parts(), 'shared', {});
    });

    it('a mount record written again replaces the last one', async () => {
      await recordMount({ store }, 'shared', mount('n1'));
      await recordMount({ store }, 'shared', mount('n1', { id1: 1, id2: 1 }));
      expect((await read('shared')).mounts.map(({ value }) => value.ids)).toEqual([{ id1: 1, id2: 1 }]);
      await removeMount({ store }, 'shared', 'n1');
      await removeMount({ store }, 'shared', 'n1');
      expect((await read('shared')).mounts).toEqual([]);
    });

    it('a volume in use is not removed; the error names hosts and mount IDs', async () => {
      await recordMount({ store }, 'shared', mount('n1'));
      await recordMount({ store }, 'shared', mount('n2', { a: 1, b: 2 }));
      await expect(removeVolume(parts(), 'shared')).rejects.toMatchObject({
        code: 'busy',
        message: 'volume shared is in use by host-n1 (mount id1); host-n2 (mount a, b)',
      });
      expect((await read('shared')).spec?.value.deleting).toBeUndefined();
    });

    it('a volume that is being removed takes no mount, and removing it again is success', async () => {
      await removeVolume(parts(), 'shared');
      await expect(recordMount({ store }, 'shared', mount('n1'))).rejects.toMatchObject({ code: 'busy' });
      await removeVolume(parts(), 'shared');
      expect((await read('shared')).spec?.value.deleting).toBeDefined();
    });

    it('unknown volumes are not found', async () => {
      await expect(removeVolume(parts(), 'shar')).rejects.toMatchObject({ code: 'not_found' });
      await expect(recordMount({ store }, 'share', mount('n1'))).rejects.toMatchObject({ code: 'not_found' });
    });

    it('a mount that comes just before the mark wins, and the mark is taken off', async () => {
      const raced = racing(() => recordMount({ store }, 'shared', mount('n1')));
      await expect(removeVolume({ clock, store: raced }, 'shared')).rejects.toMatchObject({ code: 'busy' });
      const { spec, mounts } = await read('shared');
      expect(spec?.value.deleting).toBeUndefined();
      expect(mounts).toHaveLength(1);
      await recordMount({ store }, 'shared', mount('n2'));
    });

    it('a mark that comes just before a mount wins', async () => {
      const raced = racing(() => removeVolume(parts(), 'shared'));
      await expect(recordMount({ store: raced }, 'shared', mount('n1'))).rejects.toMatchObject({
        code: 'busy',
      });
      expect((await read('shared')).mounts).toEqual([]);
    });

    it('a mark is not taken off once the mount is gone: its remover has been told that it succeeded', async () => {
      await recordMount({ store }, 'shared', mount('n1'));
      const before = await read('shared');
      const [seen] = before.mounts;
      await removeMount({ store }, 'shared', 'n1');
      await removeVolume(parts(), 'shared');
      const { spec } = await read('shared');
      if (!spec || !seen) throw new Error('missing');
      expect(await clearDeleting(store, spec, seen)).toBe(false);
      expect((await read('shared')).spec?.value.deleting).toBeDefined();
    });
  });

  it('records of a foreign form are reported, not taken for absent', async () => {
    await store.txn([], [{ put: vfileKeys.spec('odd'), value: { v: 2 } }]);
    expect((await read('odd')).problems).toEqual(['/vfile/volumes/odd/spec does not have the expected form']);
    await expect(createVolume(parts(), 'odd', {})).rejects.toMatchObject({ code: 'internal' });
    await expect(removeVolume(parts(), 'odd')).rejects.toMatchObject({ code: 'internal' });
  });
});
