import { spawn } from 'node:child_process';
import { Command, InvalidArgumentError } from 'commander';
import { toVolumeError } from '../../../src/lib/errors.ts';
import { abortWhenInterrupted } from './interrupt.ts';
import { Lab } from './lab.ts';
import { plainSteps, terminalSteps } from './steps.ts';

/** Exit code when the lab itself failed, as opposed to the command it ran; the same as Docker's. */
const labFailed = 125;

async function main(): Promise<void> {
  const signal = abortWhenInterrupted();
  const steps = process.stderr.isTTY
    ? terminalSteps
    : plainSteps((line) => process.stderr.write(`${line}\n`));
  const lab = new Lab({ steps, signal });
  try {
    await program(lab, signal).parseAsync();
  } catch (thrown) {
    const error = toVolumeError(thrown);
    process.stderr.write(`lab: ${error.message}\n`);
    process.exitCode = labFailed;
  }
  // Standard input that was never read to its end would keep this process alive.
  process.stdin.destroy();
}

function program(lab: Lab, signal: AbortSignal): Command {
  const program = new Command('lab')
    .description('A Docker Swarm of real hosts on this machine')
    .enablePositionalOptions();
  program
    .command('up')
    .description('start the hosts, form the Swarm, install the plugins and the stack')
    .option('--nodes <count>', 'how many hosts', count, 3)
    .option('--managers <count>', 'how many of them are Swarm managers', count)
    .option('--fresh', 'take a lab that is up down first', false)
    .option('--bare', 'stop at the Swarm: no images, no plugins, no stack', false)
    .action(async (options: { nodes: number; managers?: number; bare: boolean; fresh: boolean }) => {
      const managers = options.managers ?? Math.min(3, options.nodes);
      await lab.up({ ...options, managers });
    });
  program
    .command('status')
    .description('hosts, engines, Swarm roles, plugins, stack')
    .option('--json', 'for programs', false)
    .action(async (options: { json: boolean }) => {
      const { showStatus } = await import('./show-status.ts');
      showStatus(await lab.status(), options.json);
    });
  program
    .command('docker <host> [args...]')
    .description("the Docker command line against that host's engine")
    .passThroughOptions()
    .allowUnknownOption()
    .helpOption(false)
    .action(async (host: string, args: string[]) => {
      process.exitCode = await inheritDocker(lab, host, args);
    });
  program
    .command('sh <host> <command>')
    .description('a shell command on that host, also when its network is cut')
    .option('--timeout <seconds>', 'kill it after this time', count, 3600)
    .action(async (host: string, command: string, options: { timeout: number }) => {
      const { stdin, stdout, stderr } = process;
      const input = stdin.isTTY ? {} : { input: stdin };
      const result = await lab.sh(host, command, {
        timeoutMs: options.timeout * 1000,
        stdout,
        stderr,
        signal,
        ...input,
      });
      process.exitCode = result.exitCode;
    });
  const onHost = (name: string, description: string, action: (host: string) => Promise<void>) =>
    program.command(`${name} <host>`).description(description).action(action);
  onHost('kill', 'power cut', (host) => lab.kill(host));
  onHost('start', 'power on, with the same disk', (host) => lab.start(host));
  onHost('freeze', 'stop the whole host where it is', (host) => lab.freeze(host));
  onHost('thaw', 'let a frozen host go on', (host) => lab.thaw(host));
  onHost('cut', "take the host's network away", (host) => lab.cut(host));
  onHost('mend', "give the host's network back", (host) => lab.mend(host));
  program
    .command('logs <host> [what]')
    .description('console, engine (default), containerd, agent, plugin, or the name of a service')
    .action((host: string, what?: string) =>
      import('./logs.ts').then(({ showLogs }) => showLogs(lab, host, what ?? 'engine')),
    );
  program
    .command('down')
    .description('stop and remove everything the lab started and made')
    .option('--purge', 'the caches too', false)
    .action((options: { purge: boolean }) => lab.down(options.purge));
  return program;
}

function count(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('not a positive number');
  return Number(text);
}

async function inheritDocker(lab: Lab, host: string, args: string[]): Promise<number> {
  const command = lab.dockerCommand(host, args);
  const child = spawn(command.file, command.args, {
    stdio: 'inherit',
    env: { ...process.env, ...command.env },
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 137)));
  });
}

await main();
