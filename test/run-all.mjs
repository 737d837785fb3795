// npm test [-- PROJECT...]: all tests, the quick kinds first. Installs the programs that they need, says how far it is, ends
// with one line `N passed, N failed` over all kinds, and leaves nothing running.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installMissing } from './install-missing.mjs';

const root = join(import.meta.dirname, '..');
const all = ['unit', 'contract', 'integration', 'lab-tool', 'lab'];
const chosen = process.argv.slice(2);
const unknown = chosen.filter((name) => !all.includes(name));
if (unknown.length > 0) {
  console.error(`npm test -- ${unknown.join(' ')}: the kinds of tests are ${all.join(', ')}`);
  process.exit(2);
}
const projects = chosen.length > 0 ? all.filter((name) => chosen.includes(name)) : all;

/** A child that gets our signals, so that it can clean up; resolves with its exit code. */
function run(program, args, env = {}) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } });
    // From a terminal the child has the signal already; from a supervisor only we do.
    const pass = (signal) => child.kill(signal);
    for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, pass);
    child.once('error', (error) => {
      console.error(`${program}: ${error.message}`);
      resolve(1);
    });
    child.once('close', (code) => {
      for (const signal of ['SIGTERM', 'SIGHUP']) process.off(signal, pass);
      resolve(code ?? 1);
    });
  });
}

/** What one kind of tests came to: how many passed, and what did not, in words. */
function outcome(project, file, code) {
  if (!existsSync(file)) return { passed: 0, failures: [`${project}: no report, exit code ${code}`] };
  const { passed, failures } = JSON.parse(readFileSync(file, 'utf8'));
  if (failures.length === 0 && code !== 0) failures.push(`${project}: exit code ${code}`);
  return { passed, failures };
}

let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    interrupted = true;
  });
}

if (projects.some((name) => name !== 'unit')) installMissing();
const folder = mkdtempSync(join(tmpdir(), 'vfile-tests-'));
// Short, because the lab's sockets are below it.
const labs = mkdtempSync('/tmp/labs-');
const total = { passed: 0, failed: 0 };
const lines = [];
const failed = [];
const began = performance.now();
for (const [at, project] of projects.entries()) {
  if (interrupted) break;
  console.log(`\n[${at + 1}/${projects.length}] ${project} tests`);
  const start = performance.now();
  const file = join(folder, `${project}.json`);
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const reporters = ['--reporter=default', '--reporter=./test/outcome-reporter.ts'];
  const env = { VFILE_TEST_OUTCOME: file, VFILE_TEST_LABS: labs };
  const code = await run(process.execPath, [vitest, 'run', '--project', project, ...reporters], env);
  const { passed, failures } = outcome(project, file, code);
  total.passed += passed;
  total.failed += failures.length;
  failed.push(...failures);
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  lines.push(`${project.padEnd(12)} ${passed} passed, ${failures.length} failed in ${seconds} s`);
}
// The tests take their labs down themselves; this is for those that were interrupted.
const takeDown = (env = {}) =>
  run(process.execPath, ['--import', 'tsx', 'test/lab/tool/main.ts', 'down'], env);
if (projects.includes('lab') && process.env.VFILE_LAB_KEEP !== '1') await takeDown();
for (const name of readdirSync(labs)) await takeDown({ VFILE_LAB_DIR: join(labs, name) });
for (const one of [folder, labs]) rmSync(one, { recursive: true, force: true });
// Last, because who looks at a long log begins at its end.
if (failed.length > 0) console.log(`\nfailed:\n${failed.map((one) => `  ${one}`).join('\n')}`);
console.log(`\n${lines.join('\n')}\nin ${((performance.now() - began) / 60_000).toFixed(1)} min`);
if (interrupted) console.log('interrupted: not all tests were run');
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed > 0 || total.passed === 0 || interrupted ? 1 : 0;
