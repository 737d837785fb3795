import { writeFileSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';
import type { SerializedError } from 'vitest';
import type { Reporter, TestModule } from 'vitest/node';

/** What one kind of tests came to. */
export interface Outcome {
  passed: number;
  /** One line for each test that did not pass and each hook or file that failed. */
  failures: string[];
}

/** Writes an `Outcome` as JSON to the file that `VFILE_TEST_OUTCOME` names, when all tests have ended. */
export default class OutcomeReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const file = process.env.VFILE_TEST_OUTCOME;
    if (file === undefined) throw new Error('VFILE_TEST_OUTCOME names no file');
    const outcome: Outcome = { passed: 0, failures: unhandled.map((error) => brief(error.message)) };
    for (const module of modules) add(module, outcome);
    writeFileSync(file, JSON.stringify(outcome));
  }
}

function add(module: TestModule, outcome: Outcome): void {
  const fail = (what: string, why: string) => {
    outcome.failures.push(`${module.relativeModuleId}: ${what}: ${brief(why)}`);
  };
  for (const error of module.errors()) fail('the file', error.message);
  // A hook that fails has its error at its suite, and the suite's tests did not run.
  for (const suite of module.children.allSuites()) {
    for (const error of suite.errors()) fail(suite.fullName, error.message);
  }
  for (const test of module.children.allTests()) {
    const { state, errors } = test.result();
    if (state === 'passed') outcome.passed += 1;
    // A test that did not run is not a test that passed.
    else fail(test.fullName, errors?.[0]?.message ?? `did not run (${state})`);
  }
}

/** The beginning of a failure on one line, without colours; whole failures are in the output of their kind. */
function brief(text: string): string {
  return stripVTControlCharacters(text).replaceAll(/\s+/g, ' ').trim().slice(0, 300);
}
