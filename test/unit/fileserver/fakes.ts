import { createMirror } from '../../../src/etcd/list-watch-mirror.ts';
import { createMemoryStore, type MemoryStore } from '../../../src/etcd/memory-store.ts';
import type { ServerExit, ServerLauncher, ServerProcess } from '../../../src/fileserver/ganesha-process.ts';
import { volumeLayout } from '../../../src/fileserver/layout.ts';
import { type FileServerSettings, readFileServerSettings } from '../../../src/fileserver/settings.ts';
import { Supervisor } from '../../../src/fileserver/supervisor.ts';
import type { VolumeFiles } from '../../../src/fileserver/volume-files.ts';
import { VolumeError } from '../../../src/lib/errors.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { ManualClock } from '../../../src/lib/manual-clock.ts';
import { vfileKeys } from '../../../src/vfile/keys.ts';

export const volume = 'shared';
/** The socket that the server's process is to inherit. */
export const heldFd = 23;

/** A server process that does what the test says; each thing done to it is noted in `events`. */
export class FakeProcess implements ServerProcess {
  readonly pid = 1;
  readonly exited: Promise<ServerExit>;
  ended = false;
  frozen = false;
  /** Whether it does something between any two looks at it. */
  busy = false;
  #ticks = 0;
  /** Whether it ends when killed; a process on a dead disk does not. */
  mortal = true;
  /** Whether its turn has come; what is done to one that waits is no event. */
  serves = false;
  config = '';
  #writing = false;
  #end: (exit: ServerExit) => void = () => undefined;
  readonly #bench: Bench;

  constructor(bench: Bench, config: string) {
    this.#bench = bench;
    this.config = config;
    this.exited = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Ends by itself. */
  die(): void {
    this.ended = true;
    this.#end({ code: null, signal: 'SIGSEGV', lastWords: '' });
  }

  kill(): void {
    if (this.ended) return;
    if (this.serves) this.#bench.events.push('kill');
    if (this.mortal) this.die();
  }

  life(): ReturnType<ServerProcess['life']> {
    if (this.frozen) return 'stopped';
    if (this.busy) this.#ticks += 1;
    return { ticks: this.#ticks, awake: false };
  }

  freeze(): void {
    this.frozen = true;
  }

  thaw(): void {
    this.frozen = false;
  }

  async reload(config: string): Promise<void> {
    if (this.#writing) throw new Error('written by two at once');
    this.#writing = true;
    if (this.#bench.writeMs > 0) await this.#bench.clock.sleep(this.#bench.writeMs);
    this.#writing = false;
    this.config = config;
    this.#bench.events.push('reload');
  }
}

/** There while this node has the disk, as vDVS has it. */
export const diskKey = '/disk';

/** A supervisor among fakes, in a memory store, at a clock turned by hand. */
export class Bench {
  readonly clock = new ManualClock();
  readonly #data = createMemoryStore({ clock: this.clock });
  /** The test's own client; `own` is the supervisor's. */
  readonly store: MemoryStore = this.#data;
  readonly own = this.#data.client();
  /** What was done, in order. */
  readonly events: string[] = [];
  /** Those that serve or did. */
  readonly processes: FakeProcess[] = [];
  readonly #made: FakeProcess[] = [];
  readonly epochs: number[] = [];
  /** The socket of each start. */
  readonly listenFds: (number | undefined)[] = [];
  /** Whether NULL calls are answered; when not, whether one is refused at once or left without an answer. */
  answers = true;
  refuses = true;
  /** Whether one that waits for its turn accepts connections. */
  accepts = true;
  disk: 'writable' | 'full' | 'broken' = 'writable';
  /** Until when the server may answer. */
  permittedUntil = 0;
  /** So long the configuration takes to write, ms. */
  writeMs = 0;
  /** Tells the server whether its node is given the disk. */
  tellGranted: (ours: boolean) => void = () => undefined;
  /** Called between the look at how this node has the disk, and its answer. */
  onDiskFound: (() => Promise<unknown>) | undefined;
  /** So long it takes until the records of clients are followed, ms. */
  followMs = 0;
  /** How often what the kernel holds was written out, how long one pass takes, ms, and what is wrong with it. */
  flushes = 0;
  flushMs = 0;
  flushError: Error | undefined;
  /** What vDVS was told about the end of the process. */
  diskUse: 'not told' | 'held' | 'kept' | 'free' = 'not told';
  /** Whether the disk is there, and whether it can appear later. */
  attached = true;
  shutDown = false;
  receives = true;
  capacity = { size: 1_000, used: 100 };
  /** Addresses in the records of clients. */
  records: string[] = [];
  /** Addresses of the clients that have reclaimed since the start. */
  reclaimed: string[] = [];
  /** How the process's start went. */
  outcome: 'running' | 'stopped' | VolumeError = 'running';
  readonly #stop = new AbortController();
  #tell: ((told: 'no-grace') => void) | undefined;

  get process(): FakeProcess {
    const process = this.processes.at(-1);
    if (!process) throw new Error('no server was started');
    return process;
  }

  /** Processes that wait for their turn. */
  get waiting(): FakeProcess[] {
    return this.#made.filter(({ ended, serves }) => !ended && !serves);
  }

  /** Puts the spec and this node's record, starts the supervisor and lets it get as far as it can. */
  async start(changed: Partial<FileServerSettings> = {}): Promise<void> {
    await this.putSpec();
    await this.putNode('n1', '10.0.0.1');
    await this.store.txn([], [{ put: diskKey, value: 'attached' }]);
    const settings: FileServerSettings = {
      ...readFileServerSettings({
        VFILE_VOLUME: volume,
        VFILE_NODE_ID: 'n1',
        VFILE_NODE_HOSTNAME: 'host1',
        VFILE_PORT: '20490',
        VFILE_MANAGERS: '10.0.0.1',
      }),
      ...changed,
    };
    const { clock, own: store } = this;
    const supervisor = new Supervisor({
      settings,
      store,
      createMirror: (prefix) => createMirror({ store, prefix, clock, log: silentLog }),
      findDisk: async () => {
        const found = await store.get(diskKey);
        await this.onDiskFound?.();
        const condition = { key: diskKey, createRevision: found?.createRevision ?? 0 };
        return found ? { lease: undefined, condition, givenBack: false } : undefined;
      },
      followDisk: (_baseVolume, told) => {
        this.tellGranted = told;
        return () => {
          this.tellGranted = () => undefined;
        };
      },
      launcher: this.#launcher(),
      files: this.#files(),
      nfsNull: async (_address, _port, timeoutMs) => {
        if (!this.answers && !this.refuses) await clock.sleep(timeoutMs);
        if (!this.answers) throw new VolumeError('timeout', 'no answer');
      },
      holdPort: () => {
        this.events.push('hold');
        return { fd: heldFd, close: () => void this.events.push('let go') };
      },
      permit: {
        fd: 24,
        allowUntil: (until) => {
          this.permittedUntil = until;
        },
        close: () => undefined,
      },
      clock,
      log: silentLog,
    });
    supervisor.run(this.#stop.signal).then(
      () => {
        this.outcome = 'stopped';
      },
      (error) => {
        this.outcome = error;
      },
    );
    await clock.settle();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.clock.settle();
  }

  endGrace(): void {
    this.#tell?.('no-grace');
  }

  async putSpec(options: Record<string, string> = {}): Promise<void> {
    const value = {
      v: 1,
      name: volume,
      options,
      baseDriver: 'vdvs',
      baseVolume: '_vF_shared',
      port: 20490,
      createdAt: '',
      createdBy: 'n1',
    };
    await this.store.txn([], [{ put: vfileKeys.spec(volume), value }]);
  }

  async putNode(node: string, address: string): Promise<void> {
    const value = { v: 1, node, host: node, address, version: '1', problems: [] };
    await this.store.txn([], [{ put: vfileKeys.node(node), value }]);
    await this.clock.settle();
  }

  async dropNode(node: string): Promise<void> {
    await this.store.txn([], [{ delete: vfileKeys.node(node) }]);
    await this.clock.settle();
  }

  async putMount(node: string, address: string): Promise<void> {
    const value = { v: 1, node, host: node, address, ids: { a: 1 }, since: '' };
    await this.store.txn([], [{ put: vfileKeys.mount(volume, node), value }]);
    await this.clock.settle();
  }

  /** The value of one of the volume's keys. */
  async value(key: 'server' | 'claim' | 'epoch'): Promise<unknown> {
    return (await this.store.get(vfileKeys[key](volume)))?.value;
  }

  #launcher(): ServerLauncher {
    return {
      ready: async (config, { listenFd }) => {
        const process = new FakeProcess(this, config);
        this.#made.push(process);
        return {
          process,
          accepts: this.accepts,
          serve: (epoch, tells) => {
            process.serves = true;
            this.listenFds.push(listenFd);
            this.events.push('start');
            this.epochs.push(epoch);
            this.processes.push(process);
            this.#tell = tells;
          },
        };
      },
    };
  }

  #files(): VolumeFiles {
    return {
      layout: volumeLayout('/export-root'),
      writeProbe: async () => {
        if (this.disk === 'broken')
          throw new VolumeError('unavailable', 'the disk does not accept writes: EIO');
        return this.disk;
      },
      attached: async () => this.attached,
      shutDown: async () => this.shutDown,
      receivesMounts: async () => this.receives,
      prepare: async ({ servedBefore }) => void this.events.push(`prepare${servedBefore ? ' served' : ''}`),
      cleanRecords: async (mayReturn) => {
        const kept = this.records.filter(mayReturn);
        const dropped = this.records.filter((address) => !mayReturn(address));
        this.records = kept;
        return { kept, dropped };
      },
      recordedClients: async () => this.reclaimed,
      followRecords: async () => {
        if (this.followMs > 0) await this.clock.sleep(this.followMs);
        return () => undefined;
      },
      capacity: async () => this.capacity,
      flush: async () => {
        this.flushes += 1;
        if (this.flushMs > 0) await this.clock.sleep(this.flushMs);
        if (this.flushError) throw this.flushError;
      },
      holdDisk: async () => {
        this.diskUse = 'held';
      },
      keepDisk: async () => {
        this.diskUse = 'kept';
      },
      handOver: async () => void this.events.push('hand over'),
      letGoOfDisk: async () => {
        if (this.diskUse === 'held') this.diskUse = 'free';
      },
    };
  }
}
