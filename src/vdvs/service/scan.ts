import { createHash } from 'node:crypto';
import type { FoundDisk } from '../backends/backend.ts';
import { vdvsKeys } from '../keys.ts';
import { parseDiskName, renderVolumeName, snapshotOf } from '../names.ts';
import type { VolumeId, VolumeRecord } from '../types.ts';
import { type DiskNotes, notesSchema, writeNotes } from './notes.ts';
import { readSnapshots, readVolumes } from './records.ts';
import { backendOf, diskOf, type ServiceParts } from './service-parts.ts';
import { currentExtents } from './sweep.ts';

/** What a scan may do. */
export interface ScanRequest {
  /** Take disks over that are another cluster's, or copies: they get a new identity, and their former owner loses them. */
  readonly adopt: boolean;
  /** Look only. */
  readonly dryRun: boolean;
}

/** What became of one disk. */
export interface ScanFinding {
  /** File of the disk in the datastore. */
  readonly disk: string;
  readonly name?: string;
  readonly outcome: 'present' | 'recovered' | 'adopted' | 'refused' | 'strange' | 'missing';
  /** Why it was refused, is strange or missing; '' else. */
  readonly why: string;
}

/** Report of a scan; a dry run says what would be done. */
export interface ScanReport {
  readonly disks: ScanFinding[];
  /** Leftovers of interrupted work that were deleted. */
  readonly swept: string[];
}

/** Compares a datastore with the records. */
export interface Scanner {
  /**
   * Makes records for disks of this cluster that have none; touches no disk that has one, and none of anybody else unless
   * told to adopt.
   * @throws VolumeError `invalid` for an unknown datastore, `unavailable`.
   */
  scan(datastore: string, request: ScanRequest): Promise<ScanReport>;
}

const keyOf = (kind: DiskNotes['kind'], id: VolumeId) =>
  kind === 'volume' ? vdvsKeys.volume(id) : vdvsKeys.snapshot(id);

/** The same for the same disk, place and cluster, so that an adoption that stopped half way can go on. */
function adoptedUuid(record: VolumeRecord, place: string): string {
  const hex = createHash('sha256').update(`${record.fsUuid} ${place}`).digest('hex');
  return hex.slice(0, 32).replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, '$1-$2-4$3-a$4-$5');
}

/** Scans over the store and the datastores' backends. */
export function createScanner(parts: ServiceParts): Scanner {
  const { store, clock, log } = parts;

  /** What is known of before: identities, and keys that are taken. */
  const readKnown = async () => {
    const [volumes, snapshots] = await Promise.all([readVolumes(store), readSnapshots(store)]);
    const byKey = new Map<string, VolumeRecord>();
    for (const { id, volume } of volumes) if (volume) byKey.set(vdvsKeys.volume(id), volume.value);
    for (const { id, value } of snapshots) byKey.set(vdvsKeys.snapshot(id), value);
    const byUuid = new Map([...byKey.values()].map((record) => [record.fsUuid, record]));
    return { byKey, byUuid };
  };

  /** A record for a disk whose history is lost: checked before its next use, with an epoch above all former ones. */
  const renew = (record: VolumeRecord, id: VolumeId, found: FoundDisk): VolumeRecord => ({
    ...record,
    ...id,
    phase: 'ready',
    // Seconds since 1970 are more than the attachments that any volume ever had.
    epoch: Math.floor(clock.now() / 1_000),
    releasedEpoch: 0,
    cleanEpoch: 0,
    // Its notes may be older than its last takeover; the descriptor is not.
    extent: found.extent,
    ...(found.sizeBytes > record.options.sizeBytes ? { growing: true } : {}),
    options: { ...record.options, sizeBytes: Math.max(record.options.sizeBytes, found.sizeBytes) },
  });

  const examine = async (
    datastore: string,
    found: FoundDisk,
    known: Awaited<ReturnType<typeof readKnown>>,
    { adopt, dryRun }: ScanRequest,
  ): Promise<ScanFinding> => {
    const { disk } = found;
    const parsed = notesSchema.safeParse(found.notes);
    if (!parsed.success) {
      const own = known.byUuid.get(found.uuid);
      if (own?.datastore === datastore) return { disk, name: own.name, outcome: 'present', why: '' };
      return { disk, outcome: 'strange', why: 'there are no notes beside it that this version can read' };
    }
    const { kind, cluster, record } = parsed.data;
    const { name } = record;
    const id = { datastore, name };
    const say = (outcome: ScanFinding['outcome'], why = ''): ScanFinding => ({ disk, name, outcome, why });
    const own = await parts.cluster();
    const newUuid = adoptedUuid(record, `${own} ${renderVolumeName(id)}`);
    const begunToAdopt = found.uuid === newUuid;
    if (found.uuid !== record.fsUuid && !begunToAdopt) return say('strange', 'its notes are of another disk');
    if (record.disk !== disk) return say('strange', `it was ${record.disk} when its notes were written`);
    if (parseDiskName(name, datastore).snapshot !== (kind === 'snapshot')) {
      return say('strange', `"${name}" is no name of a ${kind}`);
    }
    const there = known.byKey.get(keyOf(kind, id));
    if (there?.fsUuid === found.uuid) return say('present');
    if (there) return say('refused', `there is a ${kind} of this name with another disk`);

    const twin = known.byUuid.get(record.fsUuid);
    const stranger = twin
      ? `it is a copy of ${renderVolumeName(twin)}`
      : cluster !== own
        ? `it belongs to the cluster ${cluster}`
        : record.datastore !== datastore
          ? `it was made on the datastore "${record.datastore}"`
          : undefined;
    if (stranger === undefined && !begunToAdopt) {
      const renewed = renew(record, id, found);
      // A removal deletes the disk before the record: only what is still there now has lost its record.
      const still = await backendOf(parts, id)
        .source(diskOf(renewed))
        .then(
          () => true,
          () => false,
        );
      if (!still) return say('refused', 'it was removed meanwhile');
      if (!dryRun) await put(kind, id, renewed);
      return say('recovered');
    }
    if (!adopt) return say('refused', `${stranger ?? 'its adoption has begun'}; adopt it to use it here`);
    if (!record.formatted && record.inherits === undefined) {
      return say('refused', 'it was never used and holds nothing');
    }
    const inherits = [...(record.formatted ? [] : (record.inherits ?? [])), record.fsUuid];
    const { uid: _uid, gid: _gid, mode: _mode, ...options } = record.options;
    const adopted: VolumeRecord = { ...record, options, fsUuid: newUuid, inherits, formatted: false };
    const renewed = renew(adopted, id, found);
    if (!dryRun) {
      // From here on the former owner does not touch the disk, whatever happens to us.
      await backendOf(parts, id).takeOver(diskOf(renewed), record.fsUuid);
      await put(kind, id, renewed);
      await writeNotes(parts, kind, renewed);
    }
    return say('adopted');
  };

  const put = async (kind: DiskNotes['kind'], id: VolumeId, record: VolumeRecord) => {
    await store.txn([{ key: keyOf(kind, id), is: 'absent' }], [{ put: keyOf(kind, id), value: record }]);
    log.info('record made from the datastore', { volume: renderVolumeName(id), kind });
  };

  /** Counts go on above the snapshots that were found, where a volume's notes are older. */
  const raiseCounts = async (datastore: string) => {
    const volumes = await readVolumes(store);
    const snapshots = await readSnapshots(store);
    for (const { id, volume } of volumes.filter((one) => one.id.datastore === datastore)) {
      const newest = Math.max(
        0,
        ...snapshots.flatMap((one) => {
          const of = snapshotOf(one.id);
          return of?.volume.name === id.name && of.volume.datastore === datastore ? [of.number] : [];
        }),
      );
      if (!volume || (volume.value.lastSnapshot ?? 0) >= newest) continue;
      await store.txn(
        [{ key: vdvsKeys.volume(id), modRevision: volume.modRevision }],
        [{ put: vdvsKeys.volume(id), value: { ...volume.value, lastSnapshot: newest } }],
      );
    }
  };

  return {
    async scan(datastore, request) {
      const backend = backendOf(parts, { datastore });
      // The disks first: what is made meanwhile has its record before its disk, so it is not taken for lost.
      const { disks, strange } = await backend.contents();
      const known = await readKnown();
      const findings: ScanFinding[] = [];
      for (const found of disks) findings.push(await examine(datastore, found, known, request));
      for (const disk of strange) {
        findings.push({ disk, outcome: 'strange', why: 'it is no complete disk of this service' });
      }
      const files = new Set([...disks.map((one) => one.disk), ...strange]);
      for (const record of known.byKey.values()) {
        if (record.datastore !== datastore || record.phase !== 'ready' || files.has(record.disk)) continue;
        const why = 'there is a record, but no disk';
        findings.push({ disk: record.disk, name: record.name, outcome: 'missing', why });
      }
      if (request.dryRun) return { disks: findings, swept: [] };
      await raiseCounts(datastore);
      return { disks: findings, swept: await backend.sweep(() => currentExtents(store, datastore)) };
    },
  };
}
