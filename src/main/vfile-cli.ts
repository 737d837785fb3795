import { readFile } from 'node:fs/promises';
import { CommanderError } from 'commander';
import { createAdminClient } from '../admin/cli/admin-client.ts';
import { createProgram } from '../admin/cli/program.ts';
import { systemClock as clock } from '../lib/clock.ts';
import { errorTraits, toVolumeError } from '../lib/errors.ts';
import { endIfLoadOnly } from '../lib/load-only.ts';
import { silentLog } from '../lib/log.ts';
import { createSwarmCertificates } from '../lib/swarm-certificates.ts';
import { version } from '../lib/version.ts';
import { readVfileSettings, settingsFile } from '../vfile/settings.ts';

const timeoutMs = 10_000;

/** The `vfile` command; runs where a node's certificate is, for example in the manager's container. */
async function main(): Promise<void> {
  endIfLoadOnly();
  const settings = readVfileSettings(process.env, await readFile(settingsFile, 'utf8').catch(() => ''));
  const program = createProgram({
    connect: async (manager) => {
      const identity = createSwarmCertificates({ directory: settings.certificates, clock, log: silentLog });
      try {
        const { tls } = await identity.current();
        return createAdminClient({
          address: manager ?? '127.0.0.1',
          port: settings.adminPort,
          tls,
          timeoutMs,
        });
      } finally {
        identity.stop();
      }
    },
    print: (text) => process.stdout.write(`${text}\n`),
    warn: (text) => process.stderr.write(`${text}\n`),
    version,
    clock,
  });
  program.exitOverride();
  for (const command of program.commands) {
    command.exitOverride();
    for (const sub of command.commands) sub.exitOverride();
  }
  await program.parseAsync();
}

main().catch((thrown: unknown) => {
  if (thrown instanceof CommanderError) {
    // Help and the reason are printed already.
    process.exitCode = thrown.exitCode === 0 ? 0 : errorTraits.invalid.exitCode;
    return;
  }
  const { code, message } = toVolumeError(thrown);
  process.stderr.write(`vfile: ${message}\n`);
  process.exitCode = errorTraits[code].exitCode;
});
