import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RulesWorld, startRulesWorld } from '../vdvs/rules-world.ts';

const root = resolve(import.meta.dirname, '../../..');
const run = promisify(execFile);

describe('the command line vdvs against a service', () => {
  let world: RulesWorld;
  const vdvs = (line: string) => world.vdvs(...line.split(' '));

  beforeAll(async () => {
    world = await startRulesWorld();
    const [w1, w2] = world.nodes;
    await vdvs(
      'vmgroup create --name=Dev --default-datastore=fast --vm-list=host-w1 --description=developers',
    );
    await w1.client.create({ datastore: 'fast', name: 'db' }, { size: '1gb', fstype: 'xfs' });
    await w2.client.create({ datastore: 'slow', name: 'web' }, {});
    await w1.client.attach({ datastore: 'fast', name: 'db' }, w1.lease, 0);
  });
  afterAll(() => world.end());

  it('shows volumes with all columns, short, of one group, and as JSON', async () => {
    const [head = '', ...rows] = (await vdvs('volume ls')).split('\n');
    expect(head.trimEnd().split(/ {2,}/)).toEqual([
      ...['Volume', 'Datastore', 'VMGroup', 'Capacity', 'Used', 'Filesystem', 'Policy', 'Disk Format'],
      ...['Attached-to', 'Access', 'Attach-as', 'Created By', 'Created Date'],
    ]);
    expect(rows.find((row) => row.startsWith('db'))).toMatch(
      /^db +fast +Dev +1\.0 GB +\d+ B +xfs +N\/A +thin +host-w1 +read-write +independent_persistent +host-w1 +20/,
    );
    expect(rows.find((row) => row.startsWith('web'))).toMatch(/^web +slow +_DEFAULT +100 MB .* detached /);
    expect(await vdvs('volume shortls --vmgroup=_DEFAULT')).toMatch(
      /^Volume.*\n *web +slow +_DEFAULT +detached *$/,
    );
    expect(JSON.parse(await vdvs('volume ls --vmgroup=Dev --json'))).toMatchObject([
      {
        vmgroup: 'Dev',
        record: { name: 'db' },
        attached: { host: 'host-w1' },
        allocatedBytes: expect.any(Number),
      },
    ]);
    await expect(vdvs('volume ls --vmgroup=Nix')).rejects.toThrow('there are: _DEFAULT, Dev');
  });

  it('shows groups, hosts and rights', async () => {
    expect(await vdvs('vmgroup ls')).toMatch(/Dev +[0-9a-f]{8} +developers +fast +host-w1/);
    expect(await vdvs('vmgroup vm ls --name=Dev')).toMatch(/host-w1 +w1/);
    await vdvs('vmgroup access set --name=Dev --datastore=fast --volume-maxsize=2GB --volume-totalsize=3tb');
    expect(await vdvs('vmgroup access ls --name=Dev')).toMatch(/fast +true +2\.0 GB +3\.0 TB/);
    expect(JSON.parse(await vdvs('vmgroup access ls --name=Dev --json'))).toEqual({
      fast: { allowCreate: true, maxSizeBytes: 2 * 2 ** 30, totalSizeBytes: 3 * 2 ** 40 },
    });
    await vdvs('vmgroup update --name=Dev --new-name=Test');
    expect(await vdvs('volume shortls')).toMatch(/db +fast +Test/);
    await vdvs('vmgroup update --name=Test --new-name=Dev');
  });

  it('keeps policies, and tells who has them', async () => {
    await world.vdvs('policy', 'create', '--name=gold', '--content=(("hostFailuresToTolerate" i1))');
    expect(await vdvs('policy ls')).toMatch(/gold +\(\("hostFailuresToTolerate" i1\)\) +0/);
    await vdvs('policy update --name=gold --content=other');
    expect(JSON.parse(await vdvs('policy ls --json'))).toEqual([
      { name: 'gold', content: 'other', volumes: 0 },
    ]);
    await expect(vdvs('policy rm --name=gold')).rejects.toThrow(
      'policy gold is removed. Confirm with --yes.',
    );
    await vdvs('policy rm --name=gold --yes');
    await expect(vdvs('policy rm --name=gold --yes')).rejects.toMatchObject({ code: 'not_found' });
  });

  it('shows the service and its rules at one look', async () => {
    expect(await vdvs('status')).toMatch(
      /Answers: +m1[\s\S]*Volumes: +2, 1 attached[\s\S]*Rules: +set[\s\S]*fast +1 +1\.0 GB/,
    );
    expect(JSON.parse(await vdvs('config status --json'))).toMatchObject({ configured: true, vmgroups: 2 });
    await expect(vdvs('config init')).rejects.toMatchObject({ code: 'exists' });
    expect(await vdvs('config mv --to=slow')).toContain('nothing was moved');
  });

  it('asks before it destroys anything, and takes no silence for a yes', async () => {
    for (const line of [
      'vmgroup rm --name=Dev --remove-volumes',
      'vmgroup access rm --name=Dev --datastore=fast',
      'config rm',
    ]) {
      await expect(vdvs(line)).rejects.toMatchObject({
        code: 'invalid',
        message: expect.stringContaining('--yes'),
      });
    }
    expect(await vdvs('volume shortls')).toContain('db');
  });

  it("is denied with a worker's certificate, for every command", async () => {
    for (const line of ['volume ls', 'vmgroup ls', 'status', 'vmgroup rm --name=Dev --yes']) {
      await expect(world.vdvsAs('w2', ...line.split(' '))).rejects.toMatchObject({
        code: 'denied',
        message: expect.stringContaining('only managers'),
      });
    }
  });

  it('shows examples with the help of every command', async () => {
    const { createVdvsProgram } = await import('../../../src/admin/vdvs-cli/program.ts');
    const nobody = () => Promise.reject(new Error('not asked'));
    const program = createVdvsProgram({
      connect: nobody,
      confirm: nobody,
      print: () => undefined,
      warn: () => undefined,
      version: '0',
    });
    const all = [program];
    for (const command of all) all.push(...command.commands);
    expect(all.length).toBeGreaterThan(25);
    for (const command of all) {
      const help: string[] = [];
      command.configureOutput({ writeOut: (text) => void help.push(text) });
      command.outputHelp();
      expect(help.join('')).toMatch(/Examples?:\n {2}vdvs /);
    }
  });

  it('is a program with exit codes, and completes itself', async () => {
    const env = {
      PATH: process.env.PATH,
      VFILE_CERTIFICATES: world.certificates,
      VDVS_SERVICE_PORT: String(world.port),
    };
    const program = async (...args: string[]) => {
      const child = run(process.execPath, ['dist/vdvs-cli.mjs', ...args], { cwd: root, env });
      child.child.stdin?.end();
      return await child.then(
        ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
        ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
      );
    };
    expect((await program('vmgroup', 'ls')).stdout).toContain('Dev');
    expect(await program('vmgroup', 'vm', 'ls', '--name=Nix')).toMatchObject({
      code: 3,
      stderr: 'vdvs: vmgroup Nix does not exist; there are: _DEFAULT, Dev\n',
    });
    expect(await program('vmgroup', 'create')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("required option '--name"),
    });
    expect(await program('config', 'rm')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--yes'),
    });
    expect((await program('complete', '--', 'vmgroup', 'access', '')).stdout).toMatch(/^add\t[\s\S]*^ls\t/m);
  });
});
