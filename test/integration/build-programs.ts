import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';

/** Bundles all programs into `dist`; from their sources they take long to start. */
export function buildPrograms(): void {
  execFileSync(process.execPath, ['build.mjs'], {
    cwd: resolve(import.meta.dirname, '../..'),
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}
