import type { ScanReport, SnapshotView } from '../../vdvs/disk-api.ts';
import { showBytes } from '../cli/render.ts';
import { table } from './render.ts';

/** Snapshots, and what they are of. */
export function renderSnapshots(snapshots: readonly SnapshotView[]): string {
  return table(
    ['Snapshot', 'Datastore', 'VMGroup', 'Capacity', 'Filesystem', 'Created By', 'Created Date'],
    snapshots.map(({ name, datastore, vmgroup, options, createdBy, createdAt }) => [
      name,
      datastore,
      vmgroup,
      showBytes(options.sizeBytes),
      options.fstype,
      createdBy,
      createdAt,
    ]),
  );
}

/** What became of each disk. */
export function renderScan({ disks, swept }: ScanReport): string {
  const found = table(
    ['Disk', 'Volume', 'Outcome', 'Why'],
    disks.map(({ disk, name, outcome, why }) => [disk, name ?? '', outcome, why]),
  );
  return swept.length === 0 ? found : `${found}\nLeftovers removed: ${swept.length}`;
}
