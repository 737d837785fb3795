import { mkdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Clock } from '../lib/clock.ts';
import { toVolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { MountEntry } from '../lib/mountinfo.ts';
import { pluginId } from './mount-root.ts';

/** A directory that is only in the file system at the mount root. */
const markName = '.seen-by-the-engine';

/** Times in ms. */
export interface SightTimes {
  /** Until the engine is asked again that has not answered: it starts its plugins before it answers anybody. */
  readonly unansweredMs: number;
  /** Until the second question, which decides. */
  readonly againMs: number;
  /** Between questions once it has seen the mark. */
  readonly everyMs: number;
}

export const sightTimes: SightTimes = Object.freeze({
  unansweredMs: 2_000,
  againMs: 3_000,
  everyMs: 60_000,
});

/** What is asked of the engine. */
export interface Sighted {
  /** The engine's data directory on the host. */
  dataRoot(): Promise<string>;
  /** Whether there is a directory of this name on the host, as the engine sees it. */
  seesDirectory(path: string): Promise<boolean>;
}

/** What asking the engine needs. */
export interface SightParts {
  /** The file system that holds all mount points: directly below the propagated mount. */
  readonly root: string;
  /** The mount points of this process. */
  readonly mounts: () => Promise<readonly MountEntry[]>;
  readonly engine: Sighted;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal?: AbortSignal;
  readonly times?: SightTimes;
}

/**
 * Resolves when the engine does not see what this plugin mounts, with an explanation; until then asks it from time to time.
 *
 * As an engine disables a plugin, it goes on unmounting what is below the plugin's directory after it has said that the
 * plugin is disabled. When the plugin is enabled meanwhile (by `docker plugin disable` and `enable` one after the other,
 * or by the engine itself as it starts after a crash), that takes the propagated mount away from under the new process:
 * from then on the mounts of the plugin are its own, and the engine would give containers what lies below them. Ending the
 * process helps: the engine starts it again with a new mount, and without unmounting anything.
 *
 * Never resolves when this is no managed plugin. Rejects when `signal` is aborted.
 */
export async function lossOfSight(parts: SightParts): Promise<string> {
  const { root, engine, clock, log, signal, times = sightTimes } = parts;
  await mkdir(join(root, markName), { recursive: true });
  const id = pluginId(await parts.mounts(), dirname(root));
  // Where the engine has the mount root; asked for once, since it has to look at much for that.
  let place: string | undefined;
  for (let misses = 0; ; ) {
    let pauseMs = times.everyMs;
    try {
      if (id !== undefined) {
        place ??= join(await engine.dataRoot(), 'plugins', id, 'propagated-mount', basename(root));
        misses = (await engine.seesDirectory(join(place, markName))) ? 0 : misses + 1;
      }
      if (misses === 2) return `the engine does not see what this plugin mounts: ${place} is empty for it`;
      if (misses === 1) pauseMs = times.againMs;
    } catch (thrown) {
      log.debug('the engine does not say what it sees', { error: toVolumeError(thrown).message });
      pauseMs = times.unansweredMs;
    }
    await clock.sleep(pauseMs, signal);
  }
}
