import { writeFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import { toVolumeError } from '../../src/lib/errors.ts';
import { whole } from './fixture.ts';
import { describeRound, type EventKind, eventKinds, planRounds, roughlyMs } from './story/chaos-plan.ts';
import { figuresByEvent, renderResult } from './story/chaos-report.ts';
import { runChaos } from './story/chaos-run.ts';
import { Narrator } from './story/narrator.ts';
import { abortWhenInterrupted } from './tool/interrupt.ts';
import { Lab } from './tool/lab.ts';
import { plainSteps } from './tool/steps.ts';

interface Options {
  readonly minutes: number;
  readonly seed: number;
  readonly only: readonly EventKind[];
  readonly plan: boolean;
  readonly json?: string;
  readonly keep: boolean;
}

const nodes = 3;

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0) || value > 10_000) throw new InvalidArgumentError('must be a number above 0');
  return value;
}

function seedOf(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** 32) {
    throw new InvalidArgumentError('must be a whole number from 0 to 4294967295');
  }
  return value;
}

function kindsOf(text: string): EventKind[] {
  const names = text.split(',').map((name) => name.trim());
  const kinds = eventKinds.filter((kind) => names.includes(kind));
  if (kinds.length === new Set(names).size) return kinds;
  throw new InvalidArgumentError(`choose from ${eventKinds.join(', ')}`);
}

function readOptions(): Options {
  return new Command('chaos')
    .description(
      'Strikes hosts and processes of the lab at random while clients work, and checks what they were told',
    )
    .option('--minutes <n>', 'how long', positive, 10)
    .option('--seed <s>', 'repeats a run: the same events in the same order', seedOf)
    .option('--only <kinds>', `some of: ${eventKinds.join(', ')}`, kindsOf, [...eventKinds])
    .option('--plan', 'only show what would be done', false)
    .option('--json <file>', 'write the result to a file too')
    .option('--keep', 'leave the lab running', false)
    .parse()
    .opts<Options>();
}

const write = (text: string): void => void process.stdout.write(`${text}\n`);

/** Shows the rounds that fit into the time, with a guess at how long recovery takes. */
function showPlan({ seed, only, minutes }: Options): void {
  const hosts = Array.from({ length: nodes }, (_, at) => `node${at + 1}`);
  let at = 0;
  write(`seed ${seed}`);
  for (const round of planRounds({ seed, hosts, only })) {
    if (at >= minutes * 60_000) return;
    write(
      `about ${(at / 60_000).toFixed(1).padStart(6)} min  round ${round.number}: ${describeRound(round)}`,
    );
    at += roughlyMs(round);
  }
}

async function main(): Promise<void> {
  const given = readOptions();
  const options = { ...given, seed: given.seed ?? Math.floor(Math.random() * 2 ** 32) };
  if (options.plan) return showPlan(options);
  const { seed, only, minutes, keep, json } = options;
  const signal = abortWhenInterrupted();
  const lab = new Lab({ steps: plainSteps(write), signal });
  const tell = new Narrator(write);
  // An interrupt must not wait for the end of a round.
  const interrupted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  try {
    await lab.up({ nodes, managers: nodes, bare: false });
    await whole(lab);
    tell.act(`Chaos for ${minutes} min, seed ${seed}`);
    const work = runChaos({ lab, seed, minutes, only, say: (text) => tell.say(text), signal });
    const result = await Promise.race([work, interrupted]);
    tell.act('What it came to');
    write(renderResult(result));
    if (json !== undefined) {
      const text = JSON.stringify({ ...result, figures: figuresByEvent(result.rounds) }, undefined, 2);
      writeFileSync(json, `${text}\n`);
    }
    if (result.findings.length > 0 || result.rounds.length === 0) process.exitCode = 1;
  } finally {
    if (!keep) await new Lab({ steps: plainSteps(write) }).down();
  }
}

main().catch((thrown: unknown) => {
  process.stderr.write(`chaos: ${toVolumeError(thrown).message}\n`);
  process.exitCode = 1;
});
