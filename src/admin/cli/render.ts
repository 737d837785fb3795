import Table from 'cli-table3';
import type { z } from 'zod';
import type { FailoverRecord } from '../../vfile/types.ts';
import type { etcdAnswer, leaderAnswer, nodesAnswer, VolumeShown } from './answers.ts';
import type { Moved } from './move-volume.ts';

/** Tables without lines, as Docker prints them. */
export const plain = {
  chars: Object.fromEntries(
    [
      'top',
      'top-mid',
      'top-left',
      'top-right',
      'bottom',
      'bottom-mid',
      'bottom-left',
      'bottom-right',
      'left',
      'left-mid',
      'mid',
      'mid-mid',
      'right',
      'right-mid',
      'middle',
    ].map((name) => [name, name === 'middle' ? '  ' : '']),
  ),
  style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
};

const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** Bytes for people, in units of 1024 as volumes' sizes are. */
export function showBytes(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

function showCapacity({ capacity }: VolumeShown): string {
  return capacity ? `${showBytes(capacity.used)} of ${showBytes(capacity.size)}` : '';
}

/** All volumes, one a line. */
export function renderVolumes(volumes: readonly VolumeShown[]): string {
  const table = new Table({
    ...plain,
    head: ['VOLUME', 'STATE', 'MOUNTS', 'SERVER', 'STANDBY', 'PORT', 'USED', 'REASON'],
  });
  for (const volume of volumes) {
    table.push([
      volume.name,
      volume.state,
      String(volume.mounts.length),
      volume.server?.host ?? '',
      volume.standby ?? '',
      String(volume.port),
      showCapacity(volume),
      volume.reason,
    ]);
  }
  return table.toString();
}

/** Names and values, one pair a line; without those that have no value. */
export function pairs(rows: readonly (readonly [string, string | undefined])[]): string {
  const table = new Table(plain);
  for (const [name, value] of rows) {
    if (value !== undefined && value !== '') table.push([`${name}:`, value]);
  }
  return table.toString();
}

const showSeconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

/** A failover in one line: when, why, from where to where, and when which phase was over. */
function showFailover(record: FailoverRecord): string {
  const { at, cause, from, to, by, orderedMs, claimedMs, durationMs, graceEndedMs, stallMs } = record;
  const phases = [
    orderedMs === undefined ? [] : `ordered after ${showSeconds(orderedMs)}`,
    claimedMs === undefined ? [] : `started after ${showSeconds(claimedMs)}`,
    durationMs === undefined ? 'not over' : `served after ${showSeconds(durationMs)}`,
    graceEndedMs === undefined
      ? []
      : `${record.reclaimed} of ${record.awaited} clients had reclaimed after ${showSeconds(graceEndedMs)}`,
    stallMs === undefined ? [] : `longest stall of a node ${showSeconds(stallMs)}`,
  ].flat();
  return `${at}: ${cause}; ${from} -> ${to ?? '...'}${by ? ` (${by})` : ''}, ${phases.join(', ')}`;
}

/** What became of a move. */
export function renderMoved({ volume, from, to, unservedMs }: Moved): string {
  if (from === to) return `${volume} is served from ${to} already`;
  const stall = unservedMs === undefined ? '' : `; nobody served it for ${showSeconds(unservedMs)}`;
  return `${volume} moved from ${from} to ${to}${stall}`;
}

/** One volume in full. */
export function renderVolume(volume: VolumeShown): string {
  const { lastFailover: last, earlierFailovers: earlier = [], server } = volume;
  const options = Object.entries(volume.options).map(([name, value]) => `${name}=${value}`);
  const mounts = volume.mounts.map(
    ({ host, address, ids, since }) =>
      `${host} (${address}), ${Object.keys(ids).length} mount(s), since ${since}`,
  );
  return pairs([
    ['Volume', volume.name],
    ['State', volume.state],
    ['Since', volume.since],
    ['Reason', volume.reason],
    ['Deadline', volume.deadline],
    ['Options', options.join(' ')],
    ['Base volume', `${volume.baseVolume} (driver ${volume.baseDriver})`],
    ['Service', volume.service],
    [
      'Server',
      server ? `${server.host} (${server.address}), port ${volume.port}, epoch ${server.epoch}` : '',
    ],
    ['Standby', volume.standby],
    ['Used', showCapacity(volume)],
    ['Mounted on', mounts.join('\n')],
    ['Last failover', last ? showFailover(last) : ''],
    ['Failovers before', earlier.map(showFailover).join('\n')],
    ['Created', volume.createdAt],
  ]);
}

function showEtcd({ members, problem }: z.infer<typeof etcdAnswer>['etcd']): string {
  if (problem !== undefined) return `does not answer: ${problem}`;
  return members
    .map(({ node, host, votes, answers }) => {
      const silent = answers ? '' : ' (does not answer)';
      return `${host ?? node}${votes ? silent : ' (joining, no vote yet)'}`;
    })
    .join(', ');
}

/** The cluster at one look. */
export function renderStatus(options: {
  readonly leader: z.infer<typeof leaderAnswer>['leader'];
  readonly etcd: z.infer<typeof etcdAnswer>['etcd'];
  readonly nodes: z.infer<typeof nodesAnswer>['nodes'];
  readonly volumes: readonly VolumeShown[];
}): string {
  const { leader, etcd, nodes, volumes } = options;
  const states = new Map<string, number>();
  for (const { state } of volumes) states.set(state, (states.get(state) ?? 0) + 1);
  const table = new Table({ ...plain, head: ['NODE', 'ADDRESS', 'VERSION', 'SERVES', 'MOUNTS', 'PROBLEMS'] });
  for (const node of nodes) {
    table.push([
      node.host,
      node.address,
      node.version,
      String(volumes.filter(({ server }) => server?.host === node.host).length),
      String(volumes.filter(({ mounts }) => mounts.some(({ host }) => host === node.host)).length),
      node.problems.join('; '),
    ]);
  }
  const summary = pairs([
    ['Leader', leader ? `${leader.host ?? leader.node}, since ${leader.since}` : 'none: no manager leads'],
    ['etcd', showEtcd(etcd)],
    ['Volumes', [...states].map(([state, count]) => `${count} ${state}`).join(', ') || 'none'],
  ]);
  return `${summary}\n\n${table.toString()}`;
}
