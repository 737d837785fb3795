// Fetches the Node.js that the images get (images/node/package.json, its lock file holds the checksums) unless it is there.
//   node images/fetch-node.mjs [x64|arm64]
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = join(import.meta.dirname, 'node');
const cpu = process.argv[2] ?? process.arch;
const name = `node-linux-${cpu}`;
const wanted = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).optionalDependencies[name];
if (wanted === undefined) {
  console.error(`there is no Node.js for images of the architecture ${cpu}: only for x64 and arm64`);
  process.exit(2);
}
const there = join(folder, 'node_modules', name, 'package.json');
if (!existsSync(there) || JSON.parse(readFileSync(there, 'utf8')).version !== wanted) {
  console.log(`fetching Node.js ${wanted} for the images`);
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--os', 'linux', '--cpu', cpu];
  const { status, error } = spawnSync('npm', args, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  if (error || status !== 0) {
    console.error(`npm ci in ${folder}: ${error?.message ?? `exit code ${status}`}`);
    process.exit(1);
  }
}
