import { writeFileSync } from 'node:fs';
import Table from 'cli-table3';
import { Command, InvalidArgumentError } from 'commander';
import { toVolumeError } from '../../src/lib/errors.ts';
import { installMissing } from '../install-missing.mjs';
import { whole } from './fixture.ts';
import { type BlockSeries, blockFigures } from './story/bench-block.ts';
import { eventStalls } from './story/bench-events.ts';
import { programStarts } from './story/bench-hosts.ts';
import { coldMounts, warmMounts } from './story/bench-mounts.ts';
import { type EventKind, isOutage } from './story/chaos-plan.ts';
import { summarise } from './story/statistics.ts';
import { abortWhenInterrupted } from './tool/interrupt.ts';
import { Lab } from './tool/lab.ts';
import { plainSteps } from './tool/steps.ts';

/** One line of the result: a figure and what it must not exceed. */
interface Line {
  readonly what: string;
  readonly runs: number;
  readonly median: string;
  readonly range: string;
  readonly target: string;
  /** Absent for a figure without a target. */
  readonly met: boolean | undefined;
}

const s = (ms: number): string => (ms < 100 ? `${ms.toPrecision(3)} ms` : `${(ms / 1_000).toFixed(2)} s`);

function times(what: string, values: readonly number[], mostMs?: number, medianMs = mostMs): Line {
  const { runs, median, least, most } = summarise(values);
  const bounds = [mostMs, medianMs === mostMs ? undefined : medianMs];
  const target = bounds
    .flatMap((ms, i) => (ms === undefined ? [] : [`${i === 0 ? '' : 'median '}<= ${s(ms)}`]))
    .join(', ');
  return {
    what,
    runs,
    median: s(median),
    range: `${s(least)} .. ${s(most)}`,
    target,
    met: mostMs === undefined ? undefined : most <= mostMs && median <= (medianMs ?? mostMs),
  };
}

const each = (values: readonly number[], count: number): number[] => values.map((value) => value / count);

function ratio(what: string, ours: readonly number[], base: number, factor?: number): Line {
  const { runs, median, least, most } = summarise(ours);
  return {
    what,
    runs,
    median: `${s(median)} = ${(median / base).toFixed(2)} x ${s(base)}`,
    range: `${s(least)} .. ${s(most)}`,
    target: factor === undefined ? '' : `<= ${factor} x`,
    met: factor === undefined ? undefined : median <= base * factor,
  };
}

type Say = (text: string) => void;
interface Given {
  readonly runs: number;
  /** ms between two rounds of a client. */
  readonly pause: number;
}
type Measure = (lab: Lab, given: Given, say: Say) => Promise<Line[]>;

const mounts: Measure = async (lab, { runs }, say) => {
  const warm = await warmMounts(lab, runs, say);
  const cold = await coldMounts(lab, runs, say);
  const plain = summarise(warm.plain).median;
  const bare = summarise(cold.plain).median;
  return [
    ratio('warm mount, against docker run with plain NFS', warm.vfile, plain, 1.3),
    ratio(
      'cold mount, against bare service create + docker run with plain NFS',
      cold.vfile,
      bare + plain,
      1.5,
    ),
  ];
};
async function block(runs: number, say: Say): Promise<Line[]> {
  const { attach, create, first, list } = await blockFigures(runs, say);
  const byHand = ({ byHand: values }: BlockSeries): number => summarise(values).median;
  const [few = [], many = []] = [list.get(100), list.get(1_000)];
  return [
    ratio('vDVS: attach and mount, against losetup and mount', attach.ours, byHand(attach), 1.5),
    ratio('vDVS: create, against truncate, mkfs and a write to etcd', create.ours, byHand(create), 1.5),
    ratio('vDVS: create and first mount, against all of that', first.ours, byHand(first)),
    times('vDVS: list of 1,000 volumes', many, 300),
    ratio('  a volume of 1,000, against one of 100', each(many, 1_000), summarise(each(few, 100)).median, 1),
  ];
}
const power: Measure = async (lab, { runs, pause: pauseMs }, say) => {
  const series = await eventStalls(lab, runs, { kind: 'power', on: 'server', holdMs: 20_000, pauseMs }, say);
  const what = 'power cut: longest time without an acknowledged write';
  return [
    times(`${what}, on the survivor that went on first`, series.first, 15_000, 10_000),
    times(`${what}, on the last one`, series.times, 12_000, 8_000),
    times('  the same, of files that must be opened and locked anew', series.opened),
    elections(series.electionsToo, runs),
    ...lost(series.problems, runs),
  ];
};
/** An event on the server's host, held so long: the longest stall of those who are not struck themselves. */
const event =
  (kind: EventKind, what: string, holdMs: number, mostMs: number, medianMs = mostMs): Measure =>
  async (lab, { runs, pause: pauseMs }, say) => {
    const series = await eventStalls(lab, runs, { kind, on: 'server', holdMs, pauseMs }, say);
    const { times: values, opened, electionsToo, problems } = series;
    return [
      times(`${what}: longest time without an acknowledged write`, values, mostMs, medianMs),
      times('  the same, of files that must be opened and locked anew', opened),
      ...(isOutage(kind) ? [elections(electionsToo, runs)] : []),
      ...lost(problems, runs),
    ];
  };
/** A client dies with its host while it holds locks or has asked for them. */
const client: Measure = async (lab, { runs, pause: pauseMs }, say) => {
  const series = await eventStalls(lab, runs, { kind: 'power', on: 'client', holdMs: 15_000, pauseMs }, say);
  return [
    times('host of a client loses its power: longest time without an acknowledged write', series.times),
    times('  the same, of clients that wait for the locks of the dead one', series.locked),
    ...lost(series.problems, runs),
  ];
};
const measures: Readonly<Record<string, Measure>> = {
  mounts,
  processes: event('ganesha', 'ganesha killed', 0, 5_000),
  power,
  hang: event('ganesha-hang', 'ganesha hangs', 0, 2_500),
  container: event('file-server', 'container of the server killed', 0, 5_000),
  cut: event('cut', 'host of the server cut off for 15 s', 15_000, 12_000, 8_000),
  freeze: event('freeze', 'host of the server frozen for 20 s', 20_000, 12_000, 8_000),
  drain: event('drain', 'node of the server drained for 25 s', 25_000, 2_000),
  client,
  move: event('move', 'vfile volume move', 0, 2_000),
};
/** Those that need no lab. */
const native: Readonly<Record<string, (runs: number, say: Say) => Promise<Line[]>>> = { block };
/** What is measured when nothing is chosen; the others take minutes each. */
const usual = 'block,mounts,processes,power';

/** Runs that etcd was led from the struck host too. */
function elections(count: number, runs: number): Line {
  const what = '  runs in which etcd lost its leader with it';
  return { what, runs, median: String(count), range: '', target: '', met: undefined };
}

function lost(problems: readonly string[], runs: number): Line[] {
  const value = String(problems.length);
  for (const problem of problems) process.stdout.write(`${problem}\n`);
  return [
    {
      what: '  records lost, torn or doubled; locks held by two',
      runs,
      median: value,
      range: '',
      target: '0',
      met: problems.length === 0,
    },
  ];
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('must be a whole number above 0');
  return value;
}

function report(lines: readonly Line[], file: string | undefined): void {
  const table = new Table({
    head: ['', 'runs', 'median', 'range', 'target', ''],
    style: { head: [], border: [] },
  });
  for (const { what, runs, median, range, target, met } of lines) {
    table.push([what, runs, median, range, target, met === undefined ? '' : met ? 'met' : 'missed']);
  }
  process.stdout.write(`${table.toString()}\n`);
  if (file !== undefined) writeFileSync(file, `${JSON.stringify(lines, undefined, 2)}\n`);
}

async function main(): Promise<void> {
  const names = [...Object.keys(native), ...Object.keys(measures)].join(', ');
  const program = new Command('bench')
    .description(
      'Measures vDVS on this machine and vFile on three hosts of the lab, against what there is without them',
    )
    .option('--runs <count>', 'measurements of each figure', count, 10)
    .option('--only <names>', `some of: ${names}`, usual)
    .option('--pause <ms>', 'between two rounds of a client; with 20 they keep two cores busy', count, 300)
    .option('--json <file>', 'write the figures to a file too')
    .option('--keep', 'leave the lab running', false)
    .parse();
  const options = program.opts<Given & { only: string; json?: string; keep: boolean }>();
  const signal = abortWhenInterrupted();
  const chosen = options.only.split(',').map((name) => name.trim());
  const unknown = chosen.filter((name) => !(name in native || name in measures));
  if (unknown.length > 0) return program.error(`--only ${unknown.join(',')}: choose from ${names}`);

  const write = (text: string): void => void process.stdout.write(`${text}\n`);
  const lab = new Lab({ steps: plainSteps(write), signal });
  const interrupted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  const lines: Line[] = [];
  const onHosts = chosen.filter((name) => name in measures);
  const measure = async (): Promise<void> => {
    if (chosen.some((name) => name in native)) installMissing();
    for (const name of chosen) lines.push(...((await native[name]?.(options.runs, write)) ?? []));
    if (onHosts.length === 0) return;
    await lab.up({ nodes: 3, managers: 3, bare: false });
    await whole(lab);
    const { hosts, here } = await programStarts(lab);
    lines.push(
      ratio('yardstick: a program starts on a host of the lab, against on this machine', hosts, here),
    );
    for (const name of onHosts) lines.push(...((await measures[name]?.(lab, options, write)) ?? []));
  };
  try {
    await Promise.race([measure(), interrupted]);
  } finally {
    if (lines.length > 0) report(lines, options.json);
    if (onHosts.length > 0 && !options.keep) await new Lab({ steps: plainSteps(write) }).down();
  }
}

main().catch((thrown: unknown) => {
  process.stderr.write(`bench: ${toVolumeError(thrown).message}\n`);
  process.exitCode = 1;
});
