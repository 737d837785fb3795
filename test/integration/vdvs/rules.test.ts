import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type RulesNode, type RulesWorld, startRulesWorld } from './rules-world.ts';

const fast = (name: string) => ({ datastore: 'fast', name });
const slow = (name: string) => ({ datastore: 'slow', name });

describe('rules, enforced by three services over a real etcd', () => {
  let world: RulesWorld;
  let w1: RulesNode;
  let w2: RulesNode;
  let w3: RulesNode;
  const vdvs = (line: string) => world.vdvs(...line.split(' '));
  const attach = async (node: RulesNode, name: string) => await node.client.attach(fast(name), node.lease, 0);
  const names = async (node: RulesNode) => (await node.client.list()).map(({ record }) => record.name).sort();
  /** One create each, spread over the services. */
  const createMany = (nodes: readonly RulesNode[], count: number, size: string) =>
    Promise.allSettled(
      Array.from({ length: count }, (_, index) => {
        const client = nodes[index % nodes.length]?.at[index % 3];
        return client?.create(fast(`many${index}`), { size }) ?? Promise.reject(new Error('no client'));
      }),
    );
  const outcomes = (results: readonly PromiseSettledResult<unknown>[]) => ({
    done: results.filter((one) => one.status === 'fulfilled').length,
    why: [...new Set(results.flatMap((one) => (one.status === 'rejected' ? [one.reason.code] : [])))],
  });

  beforeAll(async () => {
    world = await startRulesWorld();
    [w1, w2, w3] = world.nodes;
  });
  afterEach(async () => {
    await world.store.txn([], [{ deletePrefix: '/vdvs/' }]);
    world.creators.clear();
    for (const folder of ['fast', 'slow']) {
      for (const file of readdirSync(join(world.dir, folder))) rmSync(join(world.dir, folder, file));
    }
  });
  afterAll(() => world.end());

  it('of 50 creates at once against a quota for 10 lets exactly 10 pass', async () => {
    await vdvs('vmgroup create --name=Dev --default-datastore=fast --vm-list=host-w1,host-w2');
    await vdvs('vmgroup access set --name=Dev --datastore=fast --volume-totalsize=10gb');
    const results = await createMany([w1, w2], 50, '1gb');
    expect(outcomes(results)).toEqual({ done: 10, why: ['no_space'] });
    expect(await names(w1)).toHaveLength(10);
    const [refused] = results.filter((one) => one.status === 'rejected');
    expect(refused?.status === 'rejected' && refused.reason.message).toMatch(
      /^volume many\d+@fast: The total volume size exceeds the usage quota: .* of 10gb for vmgroup Dev on datastore fast$/,
    );
    // What is removed makes room again, and for no more than itself.
    const [one] = await names(w2);
    await w2.client.remove(fast(one ?? ''));
    expect(outcomes(await createMany([w2, w1], 12, '600mb')).done).toBeLessThanOrEqual(11);
    const total = (await w1.client.list()).reduce((sum, { record }) => sum + record.options.sizeBytes, 0);
    expect(total).toBeGreaterThan(9.4 * 2 ** 30);
    expect(total).toBeLessThanOrEqual(10 * 2 ** 30);
  });

  it('has no quota for whom none was set, and one create of ten of the same name', async () => {
    const results = await createMany([w1, w2, w3], 20, '1gb');
    expect(outcomes(results)).toEqual({ done: 20, why: [] });
    await vdvs('vmgroup create --name=Dev --default-datastore=fast --vm-list=host-w1');
    await vdvs('vmgroup access set --name=Dev --datastore=fast --volume-totalsize=1gb');
    const same = await Promise.all(
      w1.at.concat(w1.at, w1.at).map((at) => at.create(fast('v'), { size: '1gb' })),
    );
    expect(new Set(same.map(({ record }) => record.fsUuid)).size).toBe(1);
  });

  it('refuses a quota that is set while creates are under way, from that moment on', async () => {
    await vdvs('vmgroup create --name=Dev --default-datastore=fast --vm-list=host-w1');
    const creating = createMany([w1], 30, '1gb');
    await vdvs('vmgroup access set --name=Dev --datastore=fast --volume-totalsize=5gb');
    const { done } = outcomes(await creating);
    const since = (await world.store.get('/vdvs/rules/document'))?.modRevision ?? 0;
    const { entries } = await world.store.list('/vdvs/volumes/');
    const before = entries.filter(({ createRevision }) => createRevision < since).length;
    expect(entries).toHaveLength(done);
    expect(done).toBe(Math.max(5, before));
  });

  it('limits each volume and the right to create, by the entry that counts', async () => {
    await vdvs('vmgroup create --name=Dev --default-datastore=fast --vm-list=host-w1');
    await vdvs('vmgroup access set --name=Dev --datastore=fast --volume-maxsize=1gb');
    await expect(w1.client.create(fast('v'), { size: '2gb' })).rejects.toMatchObject({
      code: 'denied',
      message: expect.stringContaining('Volume size exceeds the max volume size limit'),
    });
    await expect(w1.client.create(slow('v'), {})).rejects.toMatchObject({
      code: 'denied',
      message: 'No access privilege exists for vmgroup Dev on datastore slow',
    });
    await vdvs('vmgroup access add --name=Dev --datastore=_ALL_DS --allow-create=false');
    await expect(w1.client.create(slow('v'), {})).rejects.toThrow('No create privilege exists');
    await vdvs('vmgroup access set --name=Dev --datastore=_ALL_DS --allow-create');
    await w1.client.create(slow('v'), {});
    await vdvs('vmgroup access set --name=Dev --datastore=_ALL_DS --allow-create=false');
    await expect(w1.client.remove(slow('v'))).rejects.toThrow('No delete privilege exists');
    await vdvs('vmgroup access rm --name=Dev --datastore=_ALL_DS --yes');
    await expect(w1.client.attach(slow('v'), w1.lease, 0)).rejects.toThrow('No access privilege exists');
  });

  it('gives each group volumes of its own under the same names', async () => {
    await w3.client.create(fast('db'), { size: '1gb' });
    await vdvs('vmgroup create --name=A --default-datastore=fast --vm-list=host-w1');
    await vdvs('vmgroup create --name=B --default-datastore=slow --vm-list=w2');
    const one = await w1.client.create(fast('db'), { size: '2gb' });
    const two = await w2.client.create(slow('db'), { size: '3gb' });
    expect([one.record.name, two.record.name]).toEqual(['db', 'db']);
    expect(await w1.client.list()).toMatchObject([
      { record: { name: 'db', options: { sizeBytes: 2 * 2 ** 30 } } },
    ]);
    expect(await w2.client.get(fast('db'))).toBeUndefined();
    const grant = await attach(w1, 'db');
    expect(grant.record.name).toBe('db');
    expect((await w3.client.get(fast('db')))?.attached).toBeUndefined();
    await expect(attach(w2, 'db')).rejects.toMatchObject({ message: 'volume db@fast does not exist' });
    await attach(w3, 'db');
    // Neither can be reached by the name that the service has for it.
    const inside = grant.location.file.replace(/-flat\.vmdk$/, '');
    expect(inside).toMatch(/^[0-9a-f]{8}\+db$/);
    await expect(w3.client.get(fast(inside))).rejects.toThrow('"+" is not possible');
    await expect(w1.client.remove(fast('db'))).rejects.toThrow(
      'volume db@fast is in use: attached to host-w1',
    );
    await w1.client.detach(fast('db'), grant.epoch, true);
    await w1.client.remove(fast('db'));
    expect(await names(w3)).toEqual(['db']);
    expect(readdirSync(join(world.dir, 'fast')).sort()).toEqual(['db-flat.vmdk', 'db.vdvs.json', 'db.vmdk']);
    expect(await vdvs('volume shortls')).toMatch(/db +fast +_DEFAULT +host-w3[\s\S]*db +slow +B +detached/);
    expect(await vdvs('volume shortls --vmgroup=A')).not.toContain('db');
  });

  it('gives a host that has changed its group the new one’s volume, whatever the services remember', async () => {
    await w1.client.create(fast('v'), {});
    await vdvs('vmgroup create --name=A --default-datastore=fast --vm-list=w2');
    await w2.client.create(fast('v'), {});
    for (const { client, lease } of [w1, w2]) {
      const { epoch } = await client.attach(fast('v'), lease, 0);
      await client.detach(fast('v'), epoch, true);
    }
    await vdvs('vmgroup vm add --name=A --vm-list=host-w1');
    const grant = await attach(w1, 'v');
    expect(grant.location.file).toMatch(/^[0-9a-f]{8}[+]v-flat.vmdk$/);
    expect((await w3.client.get(fast('v')))?.attached).toBeUndefined();
    await w1.client.detach(fast('v'), grant.epoch, true);
  });

  it('does not let a host with volumes attached change its group, however fast it attaches', async () => {
    await w1.client.create(fast('v'), {});
    const { epoch } = await attach(w1, 'v');
    await vdvs('vmgroup create --name=A --default-datastore=fast');
    const move = () => vdvs('vmgroup vm add --name=A --vm-list=host-w1');
    await expect(move()).rejects.toMatchObject({
      code: 'busy',
      message: 'hosts with volumes attached cannot change their vmgroup: v@fast on host-w1',
    });
    await w1.client.detach(fast('v'), epoch, true);
    for (let round = 0; round < 10; round += 1) {
      const both = await Promise.allSettled([attach(w1, 'v'), move()]);
      const [attached, moved] = both.map((one) => one.status === 'fulfilled');
      expect([attached, moved]).toEqual(attached ? [true, false] : [false, true]);
      if (moved) await vdvs('vmgroup vm rm --name=A --vm-list=host-w1');
      else await w1.client.detach(fast('v'), (await w1.client.get(fast('v')))?.attached?.epoch ?? 0, true);
    }
  });

  it('locks everybody else out without _DEFAULT, and lets them in again with it', async () => {
    await w3.client.create(fast('v'), {});
    await vdvs('vmgroup create --name=A --default-datastore=fast --vm-list=host-w1');
    const { epoch } = await attach(w3, 'v');
    await expect(vdvs('vmgroup rm --name=_DEFAULT --yes')).rejects.toMatchObject({ code: 'busy' });
    await w3.client.detach(fast('v'), epoch, true);
    await vdvs('vmgroup rm --name=_DEFAULT --yes');
    const denied = { code: 'denied', message: expect.stringContaining('No access privilege exists') };
    await expect(w3.client.create(fast('x'), {})).rejects.toMatchObject(denied);
    await expect(attach(w3, 'v')).rejects.toMatchObject(denied);
    expect(await names(w3)).toEqual([]);
    await w1.client.create(fast('x'), {});
    // But it may have to serve what others share.
    world.creators.set('_vF_one', 'w1').set('_vF_two', 'w3');
    await w3.client.create(fast('_vF_one'), {});
    const shared = await attach(w3, '_vF_one');
    expect(await names(w3)).toEqual(['_vF_one']);
    await w3.client.detach(fast('_vF_one'), shared.epoch, true);
    await expect(w3.client.create(fast('_vF_two'), {})).rejects.toMatchObject(denied);
    await vdvs('vmgroup create --name=_DEFAULT --default-datastore=_VM_DS');
    expect(await names(w3)).toEqual(['_vF_one', 'v']);
  });

  it("takes the file servers' volumes out of name spaces and charges who created the shared volume", async () => {
    await vdvs('vmgroup create --name=A --default-datastore=fast --vm-list=host-w1');
    await vdvs('vmgroup access set --name=A --datastore=fast --volume-totalsize=2gb');
    world.creators.set('_vF_one', 'w1').set('_vF_two', 'w1').set('_vF_three', 'w2');
    // The leader asks for it, whoever that is.
    await w3.client.create(fast('_vF_one'), { size: '2gb' });
    await expect(w3.client.create(fast('_vF_two'), { size: '1gb' })).rejects.toThrow(
      'exceeds the usage quota',
    );
    await expect(w1.client.create(fast('own'), { size: '1gb' })).rejects.toThrow('exceeds the usage quota');
    await w3.client.create(fast('_vF_three'), { size: '9gb' });
    const grant = await attach(w2, '_vF_one');
    expect(grant.location.file).toBe('_vF_one-flat.vmdk');
    await w2.client.detach(fast('_vF_one'), grant.epoch, true);
    // It still counts there when its creator has gone elsewhere.
    await vdvs('vmgroup vm rm --name=A --vm-list=w1');
    await expect(vdvs('volume resize --volume=_vF_one@fast --size=3gb')).rejects.toThrow('for vmgroup A');
    await expect(vdvs('snapshot create --volume=_vF_one@fast')).rejects.toThrow('for vmgroup A');
    await vdvs('vmgroup vm add --name=A --vm-list=w1');
    await w3.client.remove(fast('_vF_one'));
    await w1.client.create(fast('own'), { size: '2gb' });
  });

  it('makes a volume read-only for its next attach', async () => {
    await w1.client.create(fast('v'), {});
    const first = await attach(w1, 'v');
    await vdvs('volume set --volume=v@fast --vmgroup=_DEFAULT --options=access=read-only');
    expect(first.record.options.access).toBe('read-write');
    await w1.client.detach(fast('v'), first.epoch, true);
    expect((await attach(w1, 'v')).record.options.access).toBe('read-only');
    await expect(vdvs('volume set --volume=v@fast --vmgroup=_DEFAULT --options=size=1gb')).rejects.toThrow(
      'size cannot be changed; options that can be changed: access, attach-as',
    );
    const twice = 'volume set --volume=v@fast --vmgroup=_DEFAULT --options=access=write-only';
    await expect(vdvs(twice)).rejects.toThrow('option access: "write-only" is not possible');
  });

  it('removes a group only with or without volumes, as told', async () => {
    await vdvs('vmgroup create --name=A --default-datastore=fast --vm-list=host-w1');
    await w1.client.create(fast('v'), {});
    await expect(vdvs('config rm --yes')).rejects.toThrow('1 volume(s) belong to vmgroups');
    await expect(vdvs('vmgroup rm --name=A --yes')).rejects.toThrow('vmgroup A has 1 volume(s)');
    await expect(vdvs('vmgroup rm --name=A --remove-volumes')).rejects.toThrow('Confirm with --yes');
    await vdvs('vmgroup rm --name=A --remove-volumes --force');
    expect(readdirSync(join(world.dir, 'fast'))).toEqual([]);
    await w1.client.create(fast('v'), {});
    expect(await vdvs('volume shortls')).toMatch(/v +fast +_DEFAULT/);
  });

  it('counts growth, snapshots and clones against the quota, in the name space of the group', async () => {
    await vdvs('vmgroup create --name=A --default-datastore=fast --vm-list=host-w1');
    await vdvs('vmgroup access set --name=A --datastore=fast --volume-totalsize=5gb --volume-maxsize=3gb');
    await w3.client.create(fast('v'), { size: '7gb' });
    await w1.client.create(fast('v'), { size: '1gb' });
    const resize = (size: string) => vdvs(`volume resize --volume=v@fast --vmgroup=A --size=${size}`);
    expect(await resize('2gb')).toContain('2gb');
    await expect(resize('4gb')).rejects.toThrow('max volume size limit');
    await vdvs('snapshot create --volume=v@fast --vmgroup=A');
    await expect(vdvs('snapshot create --volume=v@fast --vmgroup=A')).rejects.toThrow(
      'exceeds the usage quota',
    );
    await expect(resize('4gb')).rejects.toThrow('max volume size limit');
    expect(await resize('3gb')).toContain('3gb');
    const clone = () => w1.client.create(fast('copy'), { 'clone-from': 'v-000001@fast' });
    await expect(clone()).rejects.toMatchObject({ code: 'no_space' });
    await vdvs('vmgroup access set --name=A --datastore=fast --volume-totalsize=7gb');
    expect((await clone()).record.options).toMatchObject({
      cloneFrom: 'v-000001@fast',
      sizeBytes: 2 * 2 ** 30,
    });
    await expect(w3.client.create(fast('copy'), { 'clone-from': 'v-000001@fast' })).rejects.toMatchObject({
      code: 'not_found',
    });
    expect(await vdvs('snapshot ls --json')).toMatch(/"name": "v-000001"/);
    expect(await vdvs('volume ls --json')).not.toMatch(/"(name|cloneFrom)": "[0-9a-f]{8}[+]/);
    expect((await w3.client.get(fast('v')))?.record.options.sizeBytes).toBe(7 * 2 ** 30);
    await vdvs('vmgroup rm --name=A --remove-volumes --yes');
    expect(readdirSync(join(world.dir, 'fast')).filter((file) => file.includes('+'))).toEqual([]);
  });

  it('gives the volumes of a lost group to a new one with its ID', async () => {
    await vdvs('vmgroup create --name=A --default-datastore=fast --vm-list=host-w1');
    const { record } = await w1.client.create(fast('v'), {});
    const [group] = JSON.parse(await vdvs('vmgroup ls --json')).slice(1);
    await world.store.txn([], [{ delete: '/vdvs/rules/document' }]);
    expect(await vdvs('volume shortls')).toMatch(new RegExp(`v +fast +${group.id} `));
    await vdvs(`vmgroup create --name=B --default-datastore=fast --vm-list=host-w1 --id=${group.id}`);
    expect((await w1.client.get(fast('v')))?.record.fsUuid).toBe(record.fsUuid);
    await expect(vdvs('vmgroup create --name=C --default-datastore=fast --id=x')).rejects.toThrow(
      'id: eight',
    );
  });

  it('tells a node its group and default datastore', async () => {
    await vdvs('vmgroup create --name=B --default-datastore=slow --vm-list=w2');
    expect(await w2.client.self()).toEqual({ vmgroup: 'B', defaultDatastore: 'slow' });
    expect(await w1.client.self()).toEqual({ vmgroup: '_DEFAULT', defaultDatastore: 'fast' });
  });
});
