import { VolumeError } from '../lib/errors.ts';
import type { EnginePlugins, InstalledPlugin } from './engine-plugins.ts';

/** What an image in the twin's registry holds. */
export interface PluginImage {
  readonly version: string;
  /** Default values of variables and mounts, all of them settable. */
  readonly settings: Readonly<Record<string, string>>;
}

/** The twin in memory, with what a test needs to see and to break. */
export interface MemoryPlugins extends EnginePlugins {
  readonly registry: Map<string, PluginImage>;
  /** What was asked for, in order: `enable vfile:latest`. */
  readonly calls: string[];
  /** Calls that begin with this text fail until it is removed. */
  readonly failing: Map<string, VolumeError>;
  /** Directories that the engine does not see. */
  readonly unseen: Set<string>;
  /** As `docker plugin create`. */
  create(name: string, image: PluginImage): void;
  /** As a hard reset of the host can leave it. */
  forceDisabled(name: string): void;
}

const isMount = (key: string): boolean => key.endsWith('.source');

/** An engine with no plugins and an empty registry. */
export function createMemoryPlugins(): MemoryPlugins {
  const plugins = new Map<string, InstalledPlugin>();
  const registry = new Map<string, PluginImage>();
  const failing = new Map<string, VolumeError>();
  const calls: string[] = [];
  const unseen = new Set<string>();
  const watchers = new Set<() => void>();

  const note = (call: string): void => {
    calls.push(call);
    for (const [start, error] of failing) if (call.startsWith(start)) throw error;
  };
  const must = (name: string): InstalledPlugin => {
    const found = plugins.get(name);
    if (!found) throw new VolumeError('not_found', `plugin "${name}" not found`);
    return found;
  };
  const mustBeDisabled = (name: string): InstalledPlugin => {
    const found = must(name);
    if (found.enabled) throw new VolumeError('internal', `plugin ${name} is enabled: disable it first`);
    return found;
  };
  const image = (reference: string): PluginImage => {
    const found = registry.get(reference);
    if (!found) throw new VolumeError('unavailable', `pull access denied for ${reference}`);
    return found;
  };
  const put = (plugin: InstalledPlugin): void => {
    plugins.set(plugin.name, plugin);
    for (const changed of watchers) changed();
  };
  const create = (name: string, from: PluginImage): void => {
    if (plugins.has(name)) throw new VolumeError('exists', `plugin ${name} exists`);
    const { version, settings } = from;
    put({ name, enabled: false, version, settings: { ...settings }, settable: Object.keys(settings) });
  };

  return {
    registry,
    calls,
    failing,
    unseen,
    create,
    forceDisabled: (name) => put({ ...must(name), enabled: false }),
    async inspect(name) {
      return plugins.get(name);
    },
    async install(name, reference) {
      note(`install ${name} ${reference}`);
      create(name, image(reference));
    },
    async upgrade(name, reference) {
      note(`upgrade ${name} ${reference}`);
      const old = mustBeDisabled(name);
      const { version, settings } = image(reference);
      const kept = Object.entries(old.settings).filter(([key]) => !isMount(key));
      put({
        ...old,
        version,
        settings: { ...settings, ...Object.fromEntries(kept) },
        settable: Object.keys(settings),
      });
    },
    async configure(name, settings) {
      note(`configure ${name} ${Object.keys(settings).join(' ')}`);
      const old = mustBeDisabled(name);
      const unknown = Object.keys(settings).filter((key) => !old.settable.includes(key));
      if (unknown.length > 0) throw new VolumeError('internal', `"${unknown[0]}" is not settable`);
      put({ ...old, settings: { ...old.settings, ...settings } });
    },
    async enable(name) {
      note(`enable ${name}`);
      put({ ...mustBeDisabled(name), enabled: true });
    },
    async disable(name) {
      note(`disable ${name}`);
      if (!must(name).enabled) throw new VolumeError('internal', `plugin ${name} is already disabled`);
      put({ ...must(name), enabled: false });
    },
    async seesDirectory(path) {
      note(`see ${path}`);
      return !unseen.has(path);
    },
    async dataRoot() {
      return '/var/lib/docker';
    },
    watch(changed, signal) {
      watchers.add(changed);
      signal.addEventListener('abort', () => watchers.delete(changed), { once: true });
    },
  };
}
