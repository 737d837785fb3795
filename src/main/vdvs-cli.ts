import { hostname } from 'node:os';
import { createInterface } from 'node:readline/promises';
import { CommanderError } from 'commander';
import { createVdvsAdminClient } from '../admin/vdvs-cli/client.ts';
import { addCompletion } from '../admin/vdvs-cli/completion.ts';
import { createVdvsProgram, throwInsteadOfExit } from '../admin/vdvs-cli/program.ts';
import { systemClock as clock } from '../lib/clock.ts';
import { errorTraits, toVolumeError } from '../lib/errors.ts';
import { endIfLoadOnly } from '../lib/load-only.ts';
import { silentLog } from '../lib/log.ts';
import { createSwarmCertificates } from '../lib/swarm-certificates.ts';
import { version } from '../lib/version.ts';
import { createHttpsJson } from '../vdvs/https-json.ts';
import { readServiceSettings } from '../vdvs/service/settings.ts';

/** Removing many volumes takes its time. */
const timeoutMs = 110_000;

/** `undefined` when nobody sits before it. */
async function confirm(question: string): Promise<boolean | undefined> {
  if (!process.stdin.isTTY) return undefined;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim());
  } finally {
    terminal.close();
  }
}

/** The `vdvs` command; runs where a manager's certificate is, for example in the service's container. */
async function main(): Promise<void> {
  endIfLoadOnly();
  const settings = readServiceSettings(process.env);
  const ends: (() => void)[] = [];
  const program = createVdvsProgram({
    connect: async (manager) => {
      const identity = createSwarmCertificates({ directory: settings.certificates, clock, log: silentLog });
      const https = createHttpsJson({ identity });
      ends.push(
        () => https.close(),
        () => identity.stop(),
      );
      const host = manager ?? '127.0.0.1';
      const port = settings.servicePort;
      return createVdvsAdminClient({ https, host, port, timeoutMs, asker: hostname(), clock });
    },
    print: (text) => process.stdout.write(`${text}\n`),
    warn: (text) => process.stderr.write(`${text}\n`),
    confirm,
    version,
  });
  addCompletion(program);
  throwInsteadOfExit(program);
  try {
    await program.parseAsync();
  } finally {
    for (const end of ends) end();
  }
}

main().catch((thrown: unknown) => {
  if (thrown instanceof CommanderError) {
    // Help and the reason are printed already.
    process.exitCode = thrown.exitCode === 0 ? 0 : errorTraits.invalid.exitCode;
    return;
  }
  const { code, message } = toVolumeError(thrown);
  process.stderr.write(`vdvs: ${message}\n`);
  process.exitCode = errorTraits[code].exitCode;
});
