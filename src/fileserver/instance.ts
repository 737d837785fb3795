import type { Clock } from '../lib/clock.ts';
import { toVolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { NfsNull } from '../lib/nfs-null.ts';
import type { ServerRecord } from '../vfile/types.ts';
import { withDeadline } from './deadline.ts';
import { type Ending, EndOnce } from './ending.ts';
import { describeExit, type ServerProcess } from './ganesha-process.ts';
import type { Publication } from './publication.ts';
import { serverEpoch } from './server-epoch.ts';
import type { ServerPlace } from './server-place.ts';
import type { FileServerSettings } from './settings.ts';
import type { SpareServer } from './spare-server.ts';
import type { SwarmView } from './swarm-view.ts';
import type { VolumeFiles } from './volume-files.ts';
import {
  firstAnswer,
  type HealthOptions,
  proveWritable,
  watchAnswers,
  watchAttachment,
  watchDisk,
} from './watch-health.ts';

/** After SIGKILL only a process stuck in the kernel, on a dead disk say, is still there. In ms. */
const killedTimeoutMs = 5_000;
/** A server that has just started has its clients to look after; the next one is made ready after so long. In ms. */
const spareAfterMs = 5_000;
/** Use that changed by less than this share of the size is not worth a write to the store. */
const capacityStep = 0.01;

/** What one run of the server needs. */
export interface InstanceOptions {
  readonly settings: FileServerSettings;
  readonly place: ServerPlace;
  readonly epoch: number;
  /** Counts starts within the epoch, from 1. */
  readonly number: number;
  /** See `ServerRecord.after`. */
  readonly after: string | undefined;
  readonly swarm: SwarmView;
  /** Calls back after each change of what `swarm` shows. */
  readonly onSwarmChange: (callback: () => void) => () => void;
  readonly publication: Publication;
  readonly spare: SpareServer;
  readonly files: VolumeFiles;
  readonly nfsNull: NfsNull;
  readonly clock: Clock;
  readonly log: Log;
}

/** One run of the server process, from cleaned records to its end. */
export class Instance {
  readonly #options: InstanceOptions;
  readonly #end = new EndOnce();
  #process: ServerProcess | undefined;
  #grace: readonly string[] = [];
  #record: ServerRecord | undefined;
  /** Those that the configuration lets mount. */
  #clients: readonly string[] = [];
  #configuring = false;

  constructor(options: InstanceOptions) {
    this.#options = options;
  }

  /** Whether no process of this run is left. */
  get dead(): boolean {
    return this.#process === undefined || this.#process.ended;
  }

  /** Kills the process at once and ends this run. */
  kill(ending: Ending): void {
    this.#process?.kill();
    this.#end.end(ending);
  }

  /** Ends this run in its own time. */
  end(ending: Ending): void {
    this.#end.end(ending);
  }

  freeze(): void {
    this.#process?.freeze();
  }

  thaw(): void {
    this.#process?.thaw();
  }

  /** Starts, publishes, looks after and stops the server. @returns why it ended. */
  async run(): Promise<Ending> {
    const { onSwarmChange, publication } = this.#options;
    let unfollow: (() => void) | undefined;
    try {
      await this.#start();
      unfollow = onSwarmChange(() => this.#swarmChanged());
      this.#swarmChanged();
    } catch (error) {
      const { code, message } = toVolumeError(error);
      this.#end.end(
        code === 'unavailable'
          ? { kind: 'fatal', code, reason: message }
          : { kind: 'crash', reason: message },
      );
    }
    const ending = await this.#end.ended();
    unfollow?.();
    publication.set(undefined);
    await this.#kill();
    return ending;
  }

  async #start(): Promise<void> {
    const { settings, spare, files, clock, log, epoch, number, swarm } = this.#options;
    const began = clock.monotonic();
    spare.prepare(swarm.mayMount());
    const records = await files.cleanRecords((address) => swarm.mayReturn(address));
    this.#grace = records.kept;
    if (records.dropped.length > 0) {
      log.info('nobody waits for clients that will not come back', { addresses: records.dropped.join(' ') });
    }
    const { server, clients } = await spare.take(swarm.mayMount());
    this.#process = server.process;
    this.#clients = clients;
    // The end may have come while the process was being made.
    if (this.#end.ending) return;
    server.serve(serverEpoch(epoch, number), (told) => {
      if (told === 'no-grace') void this.#graceEnded(records.inForce);
    });
    void server.process.exited.then((exit) => {
      this.#end.end({ kind: 'crash', reason: `ganesha ended: ${describeExit(exit)}` });
    });
    const health = this.#health();
    const [, , capacity] = await Promise.all([
      firstAnswer(health, settings.startTimeoutMs, this.#end),
      this.#proveDisk(health),
      files.capacity(),
    ]);
    if (this.#end.ending) return;
    const record = this.#publish(this.#newRecord(capacity));
    log.info('serving', {
      epoch,
      instance: number,
      address: record.address,
      port: record.port,
      tookMs: Math.round(clock.monotonic() - began),
      waitsFor: this.#grace.join(' ') || undefined,
    });
    void watchAnswers(health, this.#end);
    void watchAttachment(health, this.#end);
    if (!this.#options.place.readOnly) void watchDisk(health, this.#probeText(), this.#end);
    void this.#watchCapacity();
    void this.#keepSpare();
  }

  #publish(record: ServerRecord): ServerRecord {
    this.#record = record;
    this.#options.publication.set(record);
    return record;
  }

  /** Everybody may open and lock again. @param inForce the directory of records from before the start. */
  async #graceEnded(inForce: string | undefined): Promise<void> {
    const { files, log } = this.#options;
    const awaited = this.#grace;
    this.#grace = [];
    if (awaited.length === 0) return;
    try {
      const back = await files.recordedClients(inForce);
      const late = awaited.filter((address) => !back.includes(address));
      const counts = { awaited: awaited.length, reclaimed: awaited.length - late.length };
      log.info('grace is over', { ...counts, late: late.join(' ') || undefined });
      if (this.#record && !this.#end.ending) this.#publish({ ...this.#record, grace: counts });
    } catch (error) {
      log.warn(`who has reclaimed is not known: ${toVolumeError(error).message}`);
    }
  }

  #newRecord(capacity: { size: number; used: number }): ServerRecord {
    const { settings, place, epoch, number, after, clock } = this.#options;
    return {
      v: 1,
      node: settings.nodeId,
      host: settings.hostname,
      address: place.address,
      port: settings.port,
      epoch,
      instance: number,
      ...(after === undefined ? {} : { after }),
      since: new Date(clock.now()).toISOString(),
      capacity,
    };
  }

  #health(): HealthOptions {
    const { settings, place, nfsNull, files, clock, log } = this.#options;
    const { address } = place;
    const { writeProbe, attached } = files;
    const life = () => this.#process?.life();
    return { ...settings, address, nfsNull, writeProbe, attached, life, clock, log };
  }

  #probeText(): string {
    const { settings, epoch, number } = this.#options;
    return `${settings.volume} node ${settings.nodeId} epoch ${epoch} instance ${number}\n`;
  }

  async #proveDisk(health: HealthOptions): Promise<void> {
    if (this.#options.place.readOnly) return;
    const found = await proveWritable(health, this.#probeText());
    if (found === 'full') this.#options.log.warn('the volume is full');
  }

  #swarmChanged(): void {
    const { swarm } = this.#options;
    if (this.#end.ending || !this.#process) return;
    const gone = this.#grace.filter((address) => !swarm.mayReturn(address));
    if (gone.length > 0) {
      this.#end.end({
        kind: 'regrace',
        reason: `clients died while grace waited for them: ${gone.join(' ')}`,
      });
      return;
    }
    void this.#followClients();
  }

  /** One at a time: of two that write the file at once, the older one might be the last. Never fails. */
  async #followClients(): Promise<void> {
    const { swarm, place, log } = this.#options;
    if (this.#configuring) return;
    this.#configuring = true;
    try {
      for (;;) {
        const clients = swarm.mayMount();
        if (this.#end.ending || clients.join(' ') === this.#clients.join(' ')) return;
        await this.#process?.reload(place.config(clients));
        this.#clients = clients;
        log.info('nodes that may mount', { addresses: clients.join(' ') });
      }
    } catch (error) {
      log.warn(`configuration not written: ${toVolumeError(error).message}`);
    } finally {
      this.#configuring = false;
    }
  }

  /** Should this one die, the next one waits already. */
  async #keepSpare(): Promise<void> {
    const { clock, spare, swarm } = this.#options;
    await clock.sleep(spareAfterMs, this.#end.signal).catch(() => undefined);
    if (!this.#end.ending) spare.prepare(swarm.mayMount());
  }

  async #watchCapacity(): Promise<void> {
    const { settings, clock, files, log } = this.#options;
    while (!this.#end.signal.aborted) {
      await clock.sleep(settings.capacityIntervalMs, this.#end.signal).catch(() => undefined);
      if (this.#end.signal.aborted) return;
      try {
        const capacity = await files.capacity();
        const record = this.#record;
        const change = Math.abs(capacity.used - (record?.capacity?.used ?? 0));
        if (capacity.size === record?.capacity?.size && change < capacityStep * capacity.size) continue;
        if (!record || this.#end.ending) return;
        this.#publish({ ...record, capacity });
      } catch (error) {
        log.warn(`size of the volume not known: ${toVolumeError(error).message}`);
      }
    }
  }

  /**
   * ganesha is always killed, also for a planned end: what it has answered is with the kernel, which writes it out when the disk
   * is unmounted, and its end in order takes longer. Clients that are not parked yet find the socket that is held.
   */
  async #kill(): Promise<void> {
    const { clock, log } = this.#options;
    if (!this.#process || this.#process.ended) return;
    this.#process.kill();
    await withDeadline(clock, killedTimeoutMs, 'killing ganesha', this.#process.exited).catch((error) =>
      log.error(toVolumeError(error).message),
    );
  }
}
