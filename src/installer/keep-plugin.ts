import type { Clock } from '../lib/clock.ts';
import { toVolumeError, type VolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { EnginePlugins } from '../swarm/engine-plugins.ts';
import type { EngineContainers } from '../swarm/swarm.ts';
import { type PluginStep, type PluginWish, planPlugin } from './plan-plugin.ts';

/** What keeps one plugin as it should be. */
export interface KeepPluginParts {
  readonly wish: PluginWish;
  readonly plugins: EnginePlugins;
  readonly containers: EngineContainers;
  readonly clock: Clock;
  readonly log: Log;
}

/** Keeps one plugin as it should be; remembers failures between looks, nothing else. */
export interface PluginKeeper {
  /**
   * Does steps until nothing is left to do, one must be waited for, or one fails. To be called again soon after what has
   * changed. Never throws.
   */
  look(): Promise<'done' | 'waiting' | 'failed'>;
}

/** From the first missing plugin to a running one it is four steps; more means that somebody works against us. */
const mostSteps = 8;
/**
 * ms that a plugin may be off which ran before and which we have not stopped. Somebody may be about to enable it again, and
 * an engine that is asked to do so twice at once kills each process for the other's sake, for minutes.
 */
const othersMs = 10_000;
const leastPauseMs = 5_000;
const longestPauseMs = 300_000;

/** A keeper for one plugin. */
export function createPluginKeeper({ wish, plugins, containers, clock, log }: KeepPluginParts): PluginKeeper {
  const driver = wish.name.replace(/:latest$/, '');
  /** After a failed pull: when to try the registry again. A plugin that is there runs on meanwhile. */
  const trouble = { until: 0, pauseMs: leastPauseMs, text: '' };
  const said = { last: '' };
  /** Whether it has been seen enabled and not been stopped by us since; and since when it is off. */
  const ran: { before: boolean; offSince: number | undefined } = { before: false, offSince: undefined };

  /** Each state once, not every five seconds. */
  const say = (level: 'info' | 'warn', text: string): void => {
    if (text === said.last) return;
    said.last = text;
    log[level](text, { plugin: wish.name });
  };

  const act = async (step: PluginStep): Promise<void> => {
    if (step.step === 'install') await plugins.install(wish.name, step.image);
    else if (step.step === 'upgrade') await plugins.upgrade(wish.name, step.image);
    else if (step.step === 'configure') await plugins.configure(wish.name, step.settings);
    else if (step.step === 'enable') await plugins.enable(wish.name);
    else if (step.step === 'disable') await plugins.disable(wish.name);
  };

  const failed = (step: PluginStep, error: VolumeError): void => {
    if (step.step === 'install' || step.step === 'upgrade') {
      trouble.text = error.message;
      trouble.until = clock.monotonic() + trouble.pauseMs;
      trouble.pauseMs = Math.min(longestPauseMs, trouble.pauseMs * 2);
    }
    say('warn', `${step.step} failed: ${error.message}`);
  };

  const next = async (): Promise<PluginStep> => {
    const plugin = await plugins.inspect(wish.name);
    const held = clock.monotonic() < trouble.until;
    const facts = { plugin, inUse: 0, imageTrouble: held ? trouble.text : undefined };
    const step = planPlugin(wish, facts);
    if (step.step !== 'disable' || wish.interrupt) return step;
    // Asked only now: it costs the engine a walk over all containers.
    const used = (await containers.volumesInUse()).filter((one) => one.driver === driver);
    return planPlugin(wish, { ...facts, inUse: new Set(used.map((one) => one.volume)).size });
  };

  return {
    async look() {
      for (let steps = 0; steps < mostSteps; steps++) {
        let step: PluginStep;
        try {
          step = await next();
        } catch (thrown) {
          say('warn', `cannot look at the plugin: ${toVolumeError(thrown).message}`);
          return 'failed';
        }
        if (step.step === 'done') {
          say('info', `version ${wish.version} is enabled`);
          Object.assign(ran, { before: true, offSince: undefined });
          trouble.pauseMs = leastPauseMs;
          return 'done';
        }
        if (step.step === 'enable' && ran.before) {
          ran.offSince ??= clock.monotonic();
          if (clock.monotonic() - ran.offSince < othersMs) {
            say('warn', 'somebody has disabled it: enabling it again soon, unless they do');
            return 'waiting';
          }
        }
        if (step.step === 'wait') {
          say('warn', step.reason);
          return 'waiting';
        }
        try {
          say('info', 'reason' in step ? `${step.step}: ${step.reason}` : step.step);
          await act(step);
          ran.before = false;
          // The engine's event brings the next look, when the engine has cleaned up.
          if (step.step === 'disable') return 'waiting';
        } catch (thrown) {
          failed(step, toVolumeError(thrown));
          // A failed upgrade leaves the plugin off: go on, so that the old version is enabled again.
          if (step.step !== 'upgrade') return 'failed';
        }
      }
      say('warn', `still not as it should be after ${mostSteps} steps`);
      return 'failed';
    },
  };
}
