/** A managed plugin as the engine has it. */
export interface InstalledPlugin {
  /** With its tag: `vfile:latest`. */
  readonly name: string;
  readonly enabled: boolean;
  /** What the plugin says of itself (`VFILE_VERSION` in its configuration); '' when it says nothing. */
  readonly version: string;
  /** Settings by the names that `docker plugin set` takes: `NAME` of a variable, `NAME.source` of a mount. */
  readonly settings: Readonly<Record<string, string>>;
  /** Names of those that can be set. */
  readonly settable: readonly string[];
}

/** The managed plugins of one engine. Every call has a deadline. */
export interface EnginePlugins {
  /** `undefined` when there is none of that name. */
  inspect(name: string): Promise<InstalledPlugin | undefined>;
  /**
   * Pulls `image` from its registry as `name` and grants it what it asks for. Left disabled.
   * @throws VolumeError `unavailable` with the registry's answer.
   */
  install(name: string, image: string): Promise<void>;
  /** Replaces a disabled plugin's content by `image`; its settings of variables stay, those of mounts do not. */
  upgrade(name: string, image: string): Promise<void>;
  /** Changes settings of a disabled plugin. */
  configure(name: string, settings: Readonly<Record<string, string>>): Promise<void>;
  enable(name: string): Promise<void>;
  /**
   * Stops a plugin, with volumes in use as well. What it has mounted goes away on the host; containers keep their own
   * copies of the mounts.
   */
  disable(name: string): Promise<void>;
  /** The engine's data directory on the host. */
  dataRoot(): Promise<string>;
  /** Whether there is a directory of this name on the host, as the engine sees it from its mount name space. */
  seesDirectory(path: string): Promise<boolean>;
  /** Calls back after each change of any plugin, until `signal` is aborted. A change can be missed: look from time to time. */
  watch(changed: () => void, signal: AbortSignal): void;
}
