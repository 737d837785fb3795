import type { Store } from '../../etcd/store.ts';
import type { Clock } from '../../lib/clock.ts';

/**
 * Resolves when the key (of one that ends in "/": anything below it) changed at or after `revision`, when `ms` have passed, or when the store cannot tell any more:
 * in every case look again.
 */
export async function waitForChange(
  store: Store,
  key: string,
  revision: number,
  ms: number,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<void> {
  const done = new AbortController();
  const either = AbortSignal.any([signal, done.signal]);
  const changed = new Promise<void>((resolve) => {
    store.watch(
      key,
      revision,
      {
        changes: (changes) => {
          // The key is also the beginning of other volumes' keys.
          const is = (changed: string) => changed === key || (key.endsWith('/') && changed.startsWith(key));
          if (changes.some((change) => is(change.type === 'put' ? change.entry.key : change.key))) resolve();
        },
        // Without this pause a store that refuses watches would be asked in a tight loop.
        lost: () => void clock.sleep(Math.min(ms, 200), either).then(resolve, resolve),
      },
      either,
    );
  });
  try {
    await Promise.race([changed, clock.sleep(ms, either)]);
  } finally {
    done.abort();
  }
}
