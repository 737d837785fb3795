import type { Command } from 'commander';
import { VolumeError } from '../../lib/errors.ts';
import { parseDiskName, parseVolumeName } from '../../vdvs/names.ts';
import { renderSize } from '../../vdvs/sizes.ts';
import type { VolumeId } from '../../vdvs/types.ts';
import { renderScan, renderSnapshots } from './render-disks.ts';
import { branch, type CommonOptions, leaf, requireConsent, type Shell, show, tellDone } from './terminal.ts';

interface Named extends CommonOptions {
  readonly volume: string;
  readonly vmgroup?: string;
}

function requireDatastore(text: string): void {
  if (!text.includes('@')) throw new VolumeError('invalid', `"${text}": give it as NAME@DATASTORE`);
}

function volumeId(text: string): VolumeId {
  requireDatastore(text);
  return parseVolumeName(text, '');
}

/** `vdvs volume resize`, beside the other commands of volumes. */
export function addResizeCommand(volume: Command, shell: Shell): void {
  leaf(volume, 'resize', 'makes a volume larger, while it is in use or not; never smaller', [
    'vdvs volume resize --volume=db@default --size=20gb',
  ])
    .requiredOption('--volume <name@datastore>', 'the volume')
    .requiredOption('--size <size>', 'its new size, for example 20gb')
    .option('--vmgroup <name>', 'the vmgroup it belongs to; default: _DEFAULT')
    .action(async (options: Named & { size: string }) => {
      const id = { ...volumeId(options.volume), vmgroup: options.vmgroup };
      const { record, attached } = await (await shell.client()).disks.resize(id, options.size);
      const size = renderSize(record.options.sizeBytes);
      const later = attached ? `when ${attached.host} has grown it` : 'with its next mount';
      tellDone(
        shell,
        options,
        record.growing
          ? `volume ${options.volume} has ${size}; its file system follows ${later}`
          : `volume ${options.volume} has ${size}`,
      );
    });
}

/** `vdvs snapshot ...` */
export function addSnapshotCommands(program: Command, shell: Shell): void {
  const snapshot = branch(program, 'snapshot', 'copies of volumes that new volumes can be made of', [
    'vdvs snapshot create --volume=db@default',
    'docker volume create -d vdvs -o clone-from=db-000001 restored',
  ]);
  leaf(snapshot, 'create', 'takes a snapshot of a volume that nobody has attached', [
    'vdvs snapshot create --volume=db@default',
  ])
    .requiredOption('--volume <name@datastore>', 'the volume')
    .option('--vmgroup <name>', 'the vmgroup it belongs to; default: _DEFAULT')
    .action(async (options: Named) => {
      const id = { ...volumeId(options.volume), vmgroup: options.vmgroup };
      const { name, datastore } = await (await shell.client()).disks.createSnapshot(id);
      tellDone(shell, options, `snapshot ${name}@${datastore} taken`);
    });
  leaf(snapshot, 'ls', 'snapshots of one volume, or all', [
    'vdvs snapshot ls',
    'vdvs snapshot ls --volume=db@default --json',
  ])
    .option('--volume <name@datastore>', 'the volume')
    .option('--vmgroup <name>', 'the vmgroup it belongs to; default: _DEFAULT')
    .action(async (options: Partial<Named>) => {
      const id =
        options.volume === undefined ? undefined : { ...volumeId(options.volume), vmgroup: options.vmgroup };
      show(shell, options, await (await shell.client()).disks.snapshots(id), renderSnapshots);
    });
  leaf(snapshot, 'rm', 'removes a snapshot; volumes made of it stay', [
    'vdvs snapshot rm --snapshot=db-000001@default --yes',
  ])
    .requiredOption('--snapshot <name@datastore>', 'the snapshot')
    .option('--vmgroup <name>', 'the vmgroup its volume belongs to; default: _DEFAULT')
    .option('-y, --yes', 'without asking')
    .action(async (options: CommonOptions & { snapshot: string; vmgroup?: string }) => {
      requireDatastore(options.snapshot);
      const { id, snapshot: fits } = parseDiskName(options.snapshot, '');
      if (!fits) {
        throw new VolumeError(
          'invalid',
          `"${options.snapshot}" is no snapshot: those end in "-" and six digits`,
        );
      }
      await requireConsent(shell, options, `Snapshot ${options.snapshot} is removed.`);
      await (await shell.client()).disks.removeSnapshot({ ...id, vmgroup: options.vmgroup });
      tellDone(shell, options, `snapshot ${options.snapshot} removed`);
    });
}

/** `vdvs datastore ...` */
export function addDatastoreCommands(program: Command, shell: Shell): void {
  const datastore = branch(program, 'datastore', 'the folders that the disks are in', [
    'vdvs datastore scan --name=default --dry-run',
  ]);
  leaf(datastore, 'scan', 'compares a datastore with the records, and makes records that were lost', [
    'vdvs datastore scan --name=default --dry-run',
    'vdvs datastore scan --name=copied --adopt --yes',
  ])
    .requiredOption('--name <datastore>', 'the datastore')
    .option('--dry-run', 'only tell what would be done')
    .option('--adopt', 'take over disks of another cluster, and copies of disks; whoever had them loses them')
    .option('-y, --yes', 'without asking')
    .action(async (options: CommonOptions & { name: string; dryRun?: boolean; adopt?: boolean }) => {
      const [adopt, dryRun] = [options.adopt ?? false, options.dryRun ?? false];
      if (adopt && !dryRun) {
        const what = `Disks of others on the datastore ${options.name} become this cluster's; their owners cannot use them any more.`;
        await requireConsent(shell, options, what);
      }
      const report = await (await shell.client()).disks.scan(options.name, { adopt, dryRun });
      show(shell, options, report, renderScan);
    });
}
