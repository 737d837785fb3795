import type { InstalledPlugin } from '../swarm/engine-plugins.ts';

/** How a plugin should be on this node. */
export interface PluginWish {
  /** With its tag: `vfile:latest`. */
  readonly name: string;
  readonly version: string;
  /** Where a registry has it; `undefined` when this node's operator installs it by other means. */
  readonly image: string | undefined;
  /** Only these settings are looked at; all others stay as the operator set them. */
  readonly settings: Readonly<Record<string, string>>;
  /** Whether it may be stopped for an upgrade or a changed setting while containers use its volumes. */
  readonly interrupt: boolean;
}

/** What is so now. */
export interface PluginFacts {
  readonly plugin: InstalledPlugin | undefined;
  /** Volumes of this plugin that containers on this node use. */
  readonly inUse: number;
  /** Why the image is not tried for now; `undefined` when it may be. */
  readonly imageTrouble: string | undefined;
}

/** The next step for one plugin. */
export type PluginStep =
  | { readonly step: 'install'; readonly image: string }
  | { readonly step: 'upgrade'; readonly image: string }
  | { readonly step: 'configure'; readonly settings: Readonly<Record<string, string>> }
  | { readonly step: 'enable' }
  | { readonly step: 'disable'; readonly reason: string }
  | { readonly step: 'wait'; readonly reason: string }
  | { readonly step: 'done' };

/** Settings that differ from what is wished; such that the plugin does not have or that cannot be set are left out. */
function wrongSettings(wish: PluginWish, plugin: InstalledPlugin): Record<string, string> {
  return Object.fromEntries(
    Object.entries(wish.settings).filter(
      ([key, value]) => plugin.settable.includes(key) && (plugin.settings[key] ?? '') !== value,
    ),
  );
}

/**
 * What to do next so that the plugin becomes as wished. Pure. A plugin that is off is brought back whatever else is
 * wrong: an upgrade that cannot be had must not keep a node without volumes.
 */
export function planPlugin(wish: PluginWish, { plugin, inUse, imageTrouble }: PluginFacts): PluginStep {
  if (!plugin) {
    if (wish.image === undefined) {
      return { step: 'wait', reason: 'the plugin is not installed, and no image is set to install it from' };
    }
    if (imageTrouble !== undefined) return { step: 'wait', reason: imageTrouble };
    return { step: 'install', image: wish.image };
  }
  const outdated = wish.image !== undefined && plugin.version !== wish.version;
  const upgrade = outdated && imageTrouble === undefined ? wish.image : undefined;
  const settings = wrongSettings(wish, plugin);
  const changed = Object.keys(settings);
  if (!plugin.enabled) {
    if (upgrade !== undefined) return { step: 'upgrade', image: upgrade };
    if (changed.length > 0) return { step: 'configure', settings };
    return { step: 'enable' };
  }
  const reasons = [
    ...(upgrade === undefined
      ? []
      : [`upgrade from version ${plugin.version || 'unknown'} to ${wish.version}`]),
    ...(changed.length === 0 ? [] : [`changed settings: ${changed.join(', ')}`]),
  ];
  if (reasons.length === 0) {
    return outdated && imageTrouble !== undefined ? { step: 'wait', reason: imageTrouble } : { step: 'done' };
  }
  const reason = reasons.join('; ');
  if (inUse > 0 && !wish.interrupt) {
    return {
      step: 'wait',
      reason: `${reason}: waits until no container here uses its volumes (${inUse} in use)`,
    };
  }
  return { step: 'disable', reason };
}
