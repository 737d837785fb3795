import { parseArgs } from 'node:util';
import { toVolumeError } from '../../src/lib/errors.ts';
import { tellStory } from './story/demo-story.ts';
import { Narrator } from './story/narrator.ts';
import { abortWhenInterrupted } from './tool/interrupt.ts';
import { Lab } from './tool/lab.ts';
import { plainSteps } from './tool/steps.ts';

const usage = `npm run demo [-- --keep]
  Starts a Swarm of three hosts on this machine, tells the story of a shared volume and takes all down again.
  --keep  leaves the Swarm running`;

const howToUse = `
The Swarm is left running. Try:
  npm run -s lab -- status
  npm run -s lab -- docker node2 volume create -d vfile mine
  npm run -s lab -- docker node3 run --rm -v mine:/data debian:trixie-slim sh -c 'date >> /data/log; cat /data/log'
  npm run -s lab -- kill node1        (power cut)    npm run -s lab -- start node1
To stop it and remove what it made:
  npm run -s lab -- down
`;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { keep: { type: 'boolean' }, help: { type: 'boolean' } } });
  if (values.help) return void process.stdout.write(`${usage}\n`);
  const signal = abortWhenInterrupted();
  const write = (line: string): void => void process.stdout.write(`${line}\n`);
  const tell = new Narrator(write);
  const lab = new Lab({ steps: plainSteps(write), signal });
  const kept = await runStory(lab, tell, signal)
    .then(() => values.keep === true)
    .catch((thrown: unknown) => {
      process.exitCode = 1;
      tell.act(`The demo failed: ${toVolumeError(thrown).message}`);
      return values.keep === true && !signal.aborted;
    });
  if (kept) return write(howToUse);
  tell.act('The hosts are switched off and removed');
  await new Lab({ steps: plainSteps(write) }).down();
}

async function runStory(lab: Lab, tell: Narrator, signal: AbortSignal): Promise<void> {
  tell.act('The lab comes up (the first time takes some minutes: Debian, images, plugins)');
  const up = await tell.timed('a Swarm of three hosts with vFile on it', () =>
    lab.up({ nodes: 3, managers: 3, bare: false }),
  );
  tell.figure('lab up', up.ms);
  // An interrupt must not wait for the end of a step of the story.
  const interrupted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  await Promise.race([tellStory(lab, tell), interrupted]);
  tell.table('What was measured');
}

main().catch((thrown: unknown) => {
  process.stderr.write(`demo: ${toVolumeError(thrown).message}\n`);
  process.exitCode = 1;
});
