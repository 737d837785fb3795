import { describe, expect, it } from 'vitest';
import { createMirror } from '../../../../src/etcd/list-watch-mirror.ts';
import { createMemoryStore } from '../../../../src/etcd/memory-store.ts';
import type { Json } from '../../../../src/etcd/store.ts';
import { silentLog } from '../../../../src/lib/log.ts';
import { ManualClock } from '../../../../src/lib/manual-clock.ts';
import { vfileKeys } from '../../../../src/vfile/keys.ts';
import { createVolumeView } from '../../../../src/vfile/node/volume-view.ts';

describe('who serves a volume, as a node sees it', () => {
  const since = '2026-01-01T00:00:00Z';
  const server = {
    v: 1,
    node: 'n1',
    host: 'host1',
    address: '10.0.0.1',
    port: 20490,
    epoch: 4,
    instance: 2,
    since,
  };
  const claim = { v: 1, node: 'n2', epoch: 5, since };

  /** What the view says of these records, and while etcd is out of reach. */
  async function view(records: { server?: Json; claim?: Json }, reachable = true) {
    const clock = new ManualClock();
    const store = createMemoryStore({ clock });
    const puts = Object.entries(records).map(([key, value]) => ({
      put: vfileKeys[key as 'server' | 'claim']('v'),
      value,
    }));
    await store.txn([], puts);
    const own = store.client();
    const mirror = createMirror({ store: own, prefix: vfileKeys.volumes, clock, log: silentLog });
    await clock.settle();
    if (!reachable) own.goOffline();
    await clock.settle();
    const serving = createVolumeView(mirror).serving('v');
    mirror.stop();
    return serving;
  }

  it('is the server that has said so', async () => {
    const start = { address: '10.0.0.1', epoch: 4, instance: 2 };
    expect(await view({ server })).toEqual({ known: true, server: start });
    expect(await view({ server, claim: { ...claim, address: '10.0.0.2' } })).toEqual({
      known: true,
      server: start,
    });
  });

  it('is the first start of the one that has claimed it and accepts its clients, though it does not answer yet', async () => {
    expect(await view({ claim: { ...claim, address: '10.0.0.2' } })).toEqual({
      known: true,
      server: { address: '10.0.0.2', epoch: 5, instance: 1 },
      starting: true,
    });
  });

  it('is nobody while the one that has claimed it accepts nobody', async () => {
    expect(await view({ claim })).toEqual({ known: true, server: undefined });
    expect(await view({})).toEqual({ known: true, server: undefined });
  });

  it('is not known while etcd is out of reach, least of all of one that does not answer yet', async () => {
    const accepting = { ...claim, address: '10.0.0.2' };
    expect(await view({ claim: accepting }, false)).toEqual({ known: false, reason: expect.any(String) });
  });
});
