// npm run images [-- --registry HOST/ --push]: builds the images and creates the managed plugins on this machine's Docker
// engine, and says how to bring them to a registry.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const root = join(import.meta.dirname, '..');
const { values: options } = parseArgs({
  options: {
    registry: { type: 'string', default: '' },
    push: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  console.log('npm run images [-- --registry registry.example.com/ [--push]]');
  process.exit(0);
}
if (options.registry !== '' && !options.registry.endsWith('/')) {
  console.error(`--registry ${options.registry}: must end with a slash, for example registry.example.com/`);
  process.exit(2);
}
const manifest = JSON.parse(readFileSync(join(root, 'images/manifest.json'), 'utf8'));
const { registry } = options;

/** Runs a program to its end with its output shown; ends this program with its code when it fails. */
function run(program, ...args) {
  console.log(`+ ${program} ${args.join(' ')}`);
  const { status, error } = spawnSync(program, args, { cwd: root, stdio: 'inherit' });
  if (error || status !== 0) {
    console.error(`${program} ${args[0]}: ${error?.message ?? `exit code ${status}`}`);
    process.exit(1);
  }
}

/** What a program prints, or '' when it fails. */
function output(program, ...args) {
  return spawnSync(program, args, { cwd: root, encoding: 'utf8' }).stdout?.trim() ?? '';
}

/** A managed plugin from an image's root file system; one of the same name is replaced unless it is enabled. */
function createPlugin({ name, config, rootfsImage }) {
  if (output('docker', 'plugin', 'inspect', '--format', '{{.Enabled}}', name) === 'true') {
    console.error(
      `plugin ${name} is enabled on this engine; disable it first: docker plugin disable ${name}`,
    );
    process.exit(1);
  }
  const folder = mkdtempSync(join(tmpdir(), 'vfile-plugin-'));
  const container = output('docker', 'create', `${registry}${rootfsImage}:${manifest.version}`, 'true');
  try {
    cpSync(join(root, config), join(folder, 'config.json'));
    mkdirSync(join(folder, 'rootfs'));
    run('docker', 'export', '--output', join(folder, 'rootfs.tar'), container);
    run('tar', '-x', '-C', join(folder, 'rootfs'), '-f', join(folder, 'rootfs.tar'));
    rmSync(join(folder, 'rootfs.tar'));
    output('docker', 'plugin', 'rm', name);
    run('docker', 'plugin', 'create', name, folder);
  } finally {
    output('docker', 'rm', container);
    rmSync(folder, { recursive: true, force: true });
  }
}

if (output('docker', 'version', '--format', '{{.Server.Version}}') === '') {
  console.error('no Docker engine answers here: install one, or say where it is with DOCKER_HOST');
  process.exit(1);
}
const arch = output('docker', 'version', '--format', '{{.Server.Arch}}') === 'arm64' ? 'arm64' : 'x64';
run(process.execPath, 'images/fetch-node.mjs', arch);
run(process.execPath, 'build.mjs');
const labels = [
  `SOURCE=${output('git', 'config', '--get', 'remote.origin.url')}`,
  `REVISION=${output('git', 'rev-parse', 'HEAD')}`,
];
for (const { name, dockerfile, context } of manifest.images) {
  const args = [
    `VERSION=${manifest.version}`,
    `REGISTRY=${registry}`,
    `NODE_PACKAGE=node-linux-${arch}`,
    ...labels,
  ];
  const tag = `${registry}${name}:${manifest.version}`;
  run(
    'docker',
    'build',
    ...args.flatMap((arg) => ['--build-arg', arg]),
    '-t',
    tag,
    '-f',
    dockerfile,
    context,
  );
}
// A plugin is pushed under the name it has, so one for a registry is named for it.
const plugins = manifest.plugins.map((plugin) => ({
  ...plugin,
  name:
    registry === '' ? plugin.name : `${registry}vfile/${plugin.name.replace(/:.*/, '')}:${manifest.version}`,
}));
for (const plugin of plugins) createPlugin(plugin);

const pushes = [
  ...['vfile/control', 'vfile/fileserver'].map((name) => ['push', `${registry}${name}:${manifest.version}`]),
  ...plugins.map(({ name }) => ['plugin', 'push', name]),
];
if (registry === '') {
  console.log(
    '\nBuilt for this engine only. For a Swarm of several nodes, name a registry that all of them reach:',
  );
  console.log('  npm run images -- --registry registry.example.com/ --push');
} else if (options.push) {
  for (const push of pushes) run('docker', ...push);
} else {
  console.log(`\nBuilt. To push:\n${pushes.map((push) => `  docker ${push.join(' ')}`).join('\n')}`);
}
console.log(
  `\nTo deploy:\n  ${registry === '' ? '' : `VFILE_REGISTRY=${registry} `}docker stack deploy -c swarm-stack.yml vfile`,
);
