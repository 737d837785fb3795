import { execFileSync } from 'node:child_process';
import { openStore } from '../../src/etcd/etcd-store.ts';
import { createMemoryStore } from '../../src/etcd/memory-store.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLog } from '../../src/lib/log.ts';
import { startEtcd } from './real-etcd.ts';
import { storeContract } from './store.contract.ts';

storeContract('in memory', async () => {
  const store = createMemoryStore({ clock: systemClock });
  return {
    open: () => store.client(),
    compact: async (revision) => store.compact(revision),
    stop: () => store.close(),
  };
});

storeContract('real etcd', async () => {
  const etcd = await startEtcd();
  const endpoints = async (): Promise<readonly string[]> => etcd.addresses;
  return {
    open: () =>
      openStore({
        identity: undefined,
        endpoints,
        clock: systemClock,
        log: silentLog,
        requestTimeoutMs: 5_000,
      }),
    compact: async (revision) => {
      const env = { ...process.env, ETCDCTL_API: '3' };
      execFileSync('etcdctl', ['--endpoints', etcd.addresses.join(','), 'compact', String(revision)], {
        env,
      });
    },
    stop: etcd.stop,
  };
});
