import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLog } from '../../../src/lib/log.ts';
import { openNodeState } from '../../../src/vfile/node/node-state.ts';

describe('the memory of a node', () => {
  let directory: string;
  let path: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'vfile-state-'));
    path = join(directory, 'deeper', '.state.json');
  });
  afterEach(() => rmSync(directory, { recursive: true }));
  const open = (boot: string) => openNodeState({ path, boot, log: silentLog });
  const inUse = { vol: { port: 20501, transports: ['switch-1/xprt-1-tcp'] } };

  it('is there for the next plugin; the last of many changes counts', async () => {
    const first = await open('boot1');
    expect(first).toMatchObject({ rebooted: false, memory: { inUse: {}, known: {}, managers: [] } });
    for (let count = 1; count <= 50; count += 1) first.update({ managers: [`10.0.0.${count}`] });
    first.update({ inUse, known: { vol: '2026-01-01T00:00:00Z' } });
    await first.saved();
    const second = await open('boot1');
    expect(second.rebooted).toBe(false);
    expect(second.memory).toEqual({ inUse, known: { vol: '2026-01-01T00:00:00Z' }, managers: ['10.0.0.50'] });
  });

  it('keeps no transports over a reboot, since their names come again for others', async () => {
    const first = await open('boot1');
    first.update({ inUse, known: { vol: '2026-01-01T00:00:00Z' } });
    await first.saved();
    const second = await open('boot2');
    expect(second.rebooted).toBe(true);
    expect(second.memory).toMatchObject({ inUse: {}, known: { vol: '2026-01-01T00:00:00Z' } });
  });

  it('that is damaged is as none, and replaced', async () => {
    const first = await open('boot1');
    first.update({ managers: ['10.0.0.1'] });
    await first.saved();
    writeFileSync(path, readFileSync(path, 'utf8').slice(0, 20));
    const second = await open('boot1');
    expect(second.memory.managers).toEqual([]);
    second.update({ managers: ['10.0.0.2'] });
    await second.saved();
    expect((await open('boot1')).memory.managers).toEqual(['10.0.0.2']);
  });
});
