import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  addressOfRecord,
  cleanRecoveryRecords,
  plainAddress,
  recordedClients,
} from '../../../src/fileserver/recovery-records.ts';

describe('the name of a client’s record', () => {
  it.each([
    ['::ffff:10.0.0.3-(19:Linux NFSv4.1 node7)', '10.0.0.3'],
    ['10.0.0.3-(6:x-(1:y)', '10.0.0.3'],
    ['fd00::7-(19:Linux NFSv4.1 node7)', 'fd00::7'],
    ['\u0001deadbeef', undefined],
    ['-(1:x)', undefined],
  ])('%s', (name, address) => {
    expect(addressOfRecord(name)).toBe(address);
  });

  it('an address has one form', () => {
    expect(plainAddress('::FFFF:10.0.0.3')).toBe('10.0.0.3');
    expect(plainAddress('::ffff:a00:3')).toBe('::ffff:a00:3');
  });
});

describe('cleaning the records before a start', () => {
  const host = 'vfile-shared';
  let root: string;
  const records = () => join(root, 'v4recov');
  const record = (address: string) => `::ffff:${address}-(5:owner)`;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'vfile-records-'));
    mkdirSync(join(records(), `${host}.AAAAAA`), { recursive: true });
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  it('drops the clients that will not come back and keeps the others', async () => {
    symlinkSync(`${host}.AAAAAA`, join(records(), host));
    for (const address of ['10.0.0.2', '10.0.0.3']) {
      // A long name is a directory in a directory.
      mkdirSync(join(records(), host, record(address), 'rest'), { recursive: true });
    }
    const cleaned = await cleanRecoveryRecords(root, host, (address) => address === '10.0.0.2');
    expect(cleaned).toEqual({ kept: ['10.0.0.2'], dropped: ['10.0.0.3'], inForce: `${host}.AAAAAA` });
    expect(readdirSync(join(records(), host))).toEqual([record('10.0.0.2')]);
  });

  it('tells who has reclaimed, before and after the link has moved to the records of this start', async () => {
    symlinkSync(`${host}.AAAAAA`, join(records(), host));
    for (const [folder, address] of [
      [`${host}.AAAAAA`, '10.0.0.2'],
      [`${host}.BBBBBB`, '10.0.0.3'],
      [`${host}-2.CCCCCC`, '10.0.0.4'],
    ] as const) {
      mkdirSync(join(records(), folder, record(address)), { recursive: true });
    }
    expect(await recordedClients(root, host, `${host}.AAAAAA`)).toEqual(['10.0.0.3']);
    rmSync(join(records(), host));
    rmSync(join(records(), `${host}.AAAAAA`), { recursive: true });
    symlinkSync(`${host}.BBBBBB`, join(records(), host));
    expect(await recordedClients(root, host, `${host}.AAAAAA`)).toEqual(['10.0.0.3']);
    expect(await recordedClients(join(root, 'none'), host, undefined)).toEqual([]);
  });

  it('removes what killed starts left behind, but only of this host name', async () => {
    symlinkSync(`${host}.AAAAAA`, join(records(), host));
    for (const name of [`${host}.BBBBBB`, `${host}-2.CCCCCC`])
      mkdirSync(join(records(), name, 'x'), { recursive: true });
    await cleanRecoveryRecords(root, host, () => true);
    expect(readdirSync(records()).sort()).toEqual([host, `${host}-2.CCCCCC`, `${host}.AAAAAA`].sort());
  });

  it('touches nothing while no records are in force', async () => {
    mkdirSync(join(records(), `${host}.AAAAAA`, record('10.0.0.2')));
    expect(await cleanRecoveryRecords(root, host, () => false)).toEqual({ kept: [], dropped: [] });
    expect(readdirSync(join(records(), `${host}.AAAAAA`))).toHaveLength(1);
  });

  it('is content with a volume that was never served', async () => {
    expect(await cleanRecoveryRecords(join(root, 'none'), host, () => true)).toEqual({
      kept: [],
      dropped: [],
    });
  });
});
