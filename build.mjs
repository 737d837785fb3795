// Bundles each src/main/<name>.ts to dist/<name>.mjs: one file that plain Node >= 20 runs, with nothing beside it.
//   node build.mjs [NAME...]

import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import * as esbuild from 'esbuild';

const root = import.meta.dirname;
const entries = join(root, 'src/main');
const outdir = join(root, 'dist');

/** The very parser that etcd3 uses at run time. */
function etcdsProtobuf() {
  const etcd3 = createRequire(createRequire(import.meta.url).resolve('etcd3'));
  return createRequire(etcd3.resolve('@grpc/proto-loader'))('protobufjs');
}

/** The protocol without etcd's users and roles, 40 % of it: who may do what is told by certificates here. */
function withoutAuth({ nested: { authpb: _roles, etcdserverpb, ...others }, ...rest }) {
  const kept = Object.entries(etcdserverpb.nested).filter(([name]) => !name.startsWith('Auth'));
  return {
    ...rest,
    nested: { ...others, etcdserverpb: { ...etcdserverpb, nested: Object.fromEntries(kept) } },
  };
}

/**
 * etcd3 reads its .proto files from its own package folder at start. Parsed here instead and put into the bundle: nothing
 * has to lie beside it, and a start is faster.
 */
const etcdProtocol = {
  name: 'etcd-protocol',
  setup(build) {
    build.onLoad({ filter: /etcd3\/lib\/connection-pool\.js$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the text that is looked for in their source
      const call = 'loadSync)(`${__dirname}/../proto/rpc.proto`,';
      if (!source.includes(call)) throw new Error(`${path} does not load its .proto as expected any more`);
      const protobuf = etcdsProtobuf();
      const proto = new protobuf.Root();
      proto.resolvePath = (origin, target) =>
        protobuf.util.path.resolve(origin || join(path, '../../proto/'), target, true);
      await proto.load(join(path, '../../proto/rpc.proto'), { keepCase: true });
      const json = JSON.stringify(withoutAuth(proto.toJSON()));
      return { contents: source.replace(call, `fromJSON)(${json},`), loader: 'js' };
    });
  },
};

/**
 * proto-loader describes every message of etcd's protocol once more in protobuf's own terms, for server reflection, which
 * nothing here does: about a fifth of the time that a program takes to start.
 */
const withoutReflection = [
  ['const descriptor = require("protobufjs/ext/descriptor");', ''],
  ["const descriptorList = root.toDescriptor('proto3').file;", ''],
  [
    'const bufferList = descriptorList.map(value => Buffer.from(descriptor.FileDescriptorProto.encode(value).finish()));',
    'const bufferList = [];',
  ],
  ["const messageDescriptor = message.toDescriptor('proto3');", ''],
  ['type: messageDescriptor.$type.toObject(messageDescriptor, descriptorOptions)', 'type: {}'],
  ["const enumDescriptor = enumType.toDescriptor('proto3');", ''],
  ['type: enumDescriptor.$type.toObject(enumDescriptor, descriptorOptions)', 'type: {}'],
  ['(0, util_1.addCommonProtos)();', ''],
];
const noReflection = {
  name: 'no-reflection',
  setup(build) {
    build.onLoad({ filter: /@grpc\/proto-loader\/build\/src\/index\.js$/ }, async ({ path }) => {
      let contents = await readFile(path, 'utf8');
      for (const [from, to] of withoutReflection) {
        if (!contents.includes(from)) throw new Error(`${path} does not hold "${from}" any more`);
        contents = contents.replace(from, to);
      }
      return { contents, loader: 'js' };
    });
  },
};

/** Parts of libraries that nothing here uses and that would bring native modules, files or start-up time along. */
const unused = [
  // winston's debug output for itself, in colours.
  { filter: /@dabh\/diagnostics\/node\/index\.js$/, contents: 'module.exports = () => () => false;' },
  // proto-loader names etcd's methods with it, which are in camel case but for their first letter; the expression for words of
  // all scripts takes longer to compile than the rest of the protocol.
  {
    filter: /lodash\.camelcase\/index\.js$/,
    contents: 'module.exports = (name) => name.charAt(0).toLowerCase() + name.slice(1);',
  },
  // dockerode over SSH: native modules.
  { filter: /docker-modem\/lib\/ssh\.js$/, contents: "module.exports = () => { throw Error('no SSH'); };" },
  // dockerode's BuildKit sessions: a .proto file beside it.
  {
    filter: /dockerode\/lib\/session\.js$/,
    contents: "module.exports = () => { throw Error('no BuildKit'); };",
  },
  // zod's messages in other languages.
  { filter: /zod\/v4\/locales\/index\.js$/, contents: "export { default as en } from './en.js';" },
  // Tables of East Asian encodings; all text here is UTF-8.
  { filter: /iconv-lite\/encodings\/tables\/.*\.json$/, contents: 'module.exports = [];' },
];
const leaveOut = {
  name: 'leave-out',
  setup(build) {
    for (const { filter, contents } of unused) build.onLoad({ filter }, () => ({ contents, loader: 'js' }));
    // Express needs to know the types that are spoken here, not a thousand others.
    build.onLoad({ filter: /mime-db\/db\.json$/ }, async ({ path }) => {
      const all = Object.entries(JSON.parse(await readFile(path, 'utf8')));
      const spoken =
        /^(text|image|multipart)\/|^application\/(json|javascript|octet-stream|x-www-form-urlencoded)$/;
      return {
        contents: JSON.stringify(Object.fromEntries(all.filter(([type]) => spoken.test(type)))),
        loader: 'json',
      };
    });
  },
};

// CommonJS libraries in an ES module miss these.
const banner = [
  "import { createRequire as __createRequire } from 'node:module';",
  'const require = __createRequire(import.meta.url);',
  'const __filename = import.meta.filename, __dirname = import.meta.dirname;',
].join('');

async function mains(only) {
  const files = await readdir(entries).catch(() => []);
  const names = files.filter((file) => file.endsWith('.ts')).map((file) => file.slice(0, -3));
  const missing = only.filter((name) => !names.includes(name));
  if (missing.length > 0)
    throw new Error(`no such program: ${missing.join(', ')} (there are: ${names.join(', ')})`);
  return only.length > 0 ? only : names.sort();
}

const only = process.argv.slice(2);
const names = await mains(only);
const began = performance.now();
if (only.length === 0) await rm(outdir, { recursive: true, force: true });
await mkdir(outdir, { recursive: true });
await esbuild.build({
  entryPoints: names.map((name) => ({ in: join(entries, `${name}.ts`), out: name })),
  outdir,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  // Names stay readable in stack traces; dead code and blanks go.
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  banner: { js: banner },
  plugins: [etcdProtocol, noReflection, leaveOut],
  logLevel: 'warning',
});
for (const name of names) {
  const { size } = await stat(join(outdir, `${name}.mjs`));
  console.log(`dist/${name}.mjs  ${(size / 1024).toFixed(0)} kB`);
}
console.log(`${names.length} programs in ${((performance.now() - began) / 1000).toFixed(1)} s`);
