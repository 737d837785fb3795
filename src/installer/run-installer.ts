import type { Clock } from '../lib/clock.ts';
import type { PluginKeeper } from './keep-plugin.ts';

/** What the installer's loop needs. */
export interface InstallerParts {
  /** In this order: a plugin that another one builds on comes first. */
  readonly keepers: readonly PluginKeeper[];
  /** Makes the folders on the host that the plugins' mounts need; called before each look. Never throws. */
  readonly prepareHost: () => Promise<void>;
  readonly watch: (changed: () => void, signal: AbortSignal) => void;
  readonly clock: Clock;
}

/** Time between looks when nothing seems to happen: a missed event costs no more than this. */
const lookMs = 15_000;
/**
 * Between what has happened and the next look. Our own steps cause events, too; and an engine that has disabled a plugin goes
 * on cleaning up after it has said so: what is enabled at once may have to start again, see `plugin/engine-sight.ts`.
 */
const settleMs = 1_000;

/** Looks at all plugins, soon after each event and every few seconds, until `signal` is aborted. */
export async function runInstaller(parts: InstallerParts, signal: AbortSignal): Promise<void> {
  const { keepers, prepareHost, watch, clock } = parts;
  const pause = { wake: new AbortController() };
  watch(() => pause.wake.abort(), signal);
  while (!signal.aborted) {
    pause.wake = new AbortController();
    await prepareHost();
    for (const keeper of keepers) await keeper.look();
    await clock.sleep(lookMs, AbortSignal.any([signal, pause.wake.signal])).catch(() => undefined);
    await clock.sleep(settleMs, signal).catch(() => undefined);
  }
}
