import { Command, InvalidArgumentError } from 'commander';
import { toVolumeError } from '../../src/lib/errors.ts';
import { whole } from './fixture.ts';
import { Narrator, seconds } from './story/narrator.ts';
import { runStress, type StressPart, stressParts } from './story/stress-run.ts';
import { abortWhenInterrupted } from './tool/interrupt.ts';
import { Lab } from './tool/lab.ts';
import { plainSteps } from './tool/steps.ts';

const nodes = 3;
const modes: readonly StressPart['mode'][] = ['open', 'random', 'sparse', 'many'];

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('must be a whole number above 0');
  return value;
}

function modesOf(text: string): StressPart['mode'][] {
  const names = text.split(',').map((name) => name.trim());
  const chosen = modes.filter((mode) => names.includes(mode));
  if (chosen.length === new Set(names).size) return chosen;
  throw new InvalidArgumentError(`choose from ${modes.join(', ')}`);
}

async function main(): Promise<void> {
  const program = new Command('stress')
    .description('What has broken shared file systems elsewhere, on three hosts of the lab, on ext4 and XFS')
    .option('--files <count>', 'how many in one directory', count, 100_000)
    .option('--only <modes>', `some of: ${modes.join(', ')}`, modesOf, [...modes])
    .option('--keep', 'leave the lab running', false)
    .parse();
  const { files, only, keep } = program.opts<{ files: number; only: StressPart['mode'][]; keep: boolean }>();
  const signal = abortWhenInterrupted();
  const write = (text: string): void => void process.stdout.write(`${text}\n`);
  const tell = new Narrator(write);
  const lab = new Lab({ steps: plainSteps(write), signal });
  try {
    await lab.up({ nodes, managers: nodes, bare: false });
    await whole(lab);
    tell.act('Stress');
    const parts = stressParts(lab.hostNames, files).filter(({ mode }) => only.includes(mode));
    const results = await runStress(lab, parts, ({ fstype, mode, host, ms, said }) =>
      tell.say(`${fstype} ${mode} on ${host}: ${said} (${seconds(ms)})`),
    );
    const wrong = results.filter(({ right }) => !right).length;
    write(wrong === 0 ? 'nothing is wrong' : `${wrong} of ${results.length} found a fault`);
    if (wrong > 0) process.exitCode = 1;
  } finally {
    if (!keep) await new Lab({ steps: plainSteps(write) }).down();
  }
}

main().catch((thrown: unknown) => {
  process.stderr.write(`stress: ${toVolumeError(thrown).message}\n`);
  process.exitCode = 1;
});
