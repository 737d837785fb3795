import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KeptWriters } from '../../../src/vfile/node/kept-writers.ts';
import { createTransports } from '../../../src/vfile/node/transports.ts';

const id = 'switch-1/xprt-2-tcp';

describe('transports in sysfs', () => {
  let switches: string;
  let writer: KeptWriters;
  beforeEach(() => {
    writer = new KeptWriters();
    switches = mkdtempSync(join(tmpdir(), 'vfile-switches-'));
    transport(id, { dstaddr: '10.0.0.1\n', xprt_info: 'src_port=812\ndst_port=20490\n' });
  });
  afterEach(() => {
    writer.end();
    rmSync(switches, { recursive: true });
  });

  function transport(name: string, files: { dstaddr: string; xprt_info: string; xprt_state?: string }): void {
    mkdirSync(join(switches, name), { recursive: true });
    for (const [file, text] of Object.entries({ xprt_state: 'state= CONNECTED BOUND\n', ...files })) {
      writeFileSync(join(switches, name, file), text);
    }
  }
  /** Process IDs of the writers. */
  const children = (): number[] =>
    execFileSync('ps', ['--ppid', String(process.pid), '-o', 'pid=,comm='], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => line.endsWith('mawk'))
      .map((line) => Number.parseInt(line, 10));
  const subject = () => createTransports({ writer, switches });

  it('are found with address, port and whether they are connected; other kinds are left out', async () => {
    transport('switch-3/xprt-9-tcp', {
      dstaddr: '10.0.0.7\n',
      xprt_info: '<closed>\n',
      xprt_state: 'state=CLOSED\n',
    });
    transport('switch-3/xprt-8-udp', { dstaddr: '10.0.0.7\n', xprt_info: 'dst_port=20490\n' });
    writeFileSync(join(switches, 'switch-3/xprt_switch_info'), 'num_xprts=1\n');
    const found = (await subject().scan()).sort((a, b) => a.id.localeCompare(b.id));
    expect(found).toEqual([
      { id, address: '10.0.0.1', connected: true, port: 20490 },
      { id: 'switch-3/xprt-9-tcp', address: '10.0.0.7', connected: false, port: undefined },
    ]);
  });

  it('are none on a kernel without them', async () => {
    expect(await createTransports({ writer, switches: join(switches, 'missing') }).scan()).toEqual([]);
  });

  it('take another address', async () => {
    await subject().aim(id, '10.0.0.2', { timeoutMs: 5_000 });
    expect(await subject().read(id)).toMatchObject({ address: '10.0.0.2' });
  });

  it('are written by processes that wait for work: none is started for it', async () => {
    await expect.poll(children).toEqual([]);
    writer.prepare();
    const before = children();
    expect(before).toHaveLength(2);
    for (const last of ['2', '3', '4']) await subject().aim(id, `10.0.0.${last}`, { timeoutMs: 5_000 });
    expect(await subject().read(id)).toMatchObject({ address: '10.0.0.4' });
    expect(children()).toEqual(before);
  });

  it('are written all the same when those that waited were killed', async () => {
    writer.prepare();
    const before = children();
    for (const pid of before) process.kill(pid, 'SIGKILL');
    await expect.poll(() => children().filter((pid) => before.includes(pid))).toEqual([]);
    await subject().aim(id, '10.0.0.2', { timeoutMs: 5_000 });
    expect(await subject().read(id)).toMatchObject({ address: '10.0.0.2' });
  });

  it('that refuse a value say why, and take the next', async () => {
    rmSync(join(switches, id, 'dstaddr'));
    mkdirSync(join(switches, id, 'dstaddr'));
    await expect(subject().aim(id, '10.0.0.2', { timeoutMs: 5_000 })).rejects.toThrow(
      /10\.0\.0\.2.*directory/i,
    );
    rmSync(join(switches, id, 'dstaddr'), { recursive: true });
    writeFileSync(join(switches, id, 'dstaddr'), '10.0.0.1\n');
    await subject().aim(id, '10.0.0.3', { timeoutMs: 5_000 });
    expect(await subject().read(id)).toMatchObject({ address: '10.0.0.3' });
  });

  it('that are gone say so', async () => {
    expect(await subject().read('switch-5/xprt-5-tcp')).toBeUndefined();
    await expect(
      subject().aim('switch-5/xprt-5-tcp', '10.0.0.2', { timeoutMs: 5_000 }),
    ).rejects.toMatchObject({ code: 'not_found' });
  });

  it('are never given an IPv6 address, which the kernel would not survive', async () => {
    await expect(subject().aim(id, 'fd00::1', { timeoutMs: 5_000 })).rejects.toMatchObject({
      code: 'invalid',
    });
    expect(readFileSync(join(switches, id, 'dstaddr'), 'utf8')).toBe('10.0.0.1\n');
  });

  describe('with a write that the kernel holds up', () => {
    let slow: ReturnType<typeof createTransports>;
    beforeEach(() => {
      // Opening a FIFO for writing waits for a reader, as a write to dstaddr waits for the transport's lock.
      const fifo = join(switches, 'fifo');
      execFileSync('mkfifo', [fifo]);
      slow = createTransports({
        writer: { write: (_path, value, options) => writer.write(fifo, value, options) },
        switches,
      });
    });

    it('end at the deadline', async () => {
      const started = performance.now();
      await expect(slow.aim(id, '10.0.0.2', { timeoutMs: 300 })).rejects.toMatchObject({ code: 'timeout' });
      expect(performance.now() - started).toBeLessThan(2_500);
    });

    it('can be called off, and many of them leave this process its threads', async () => {
      const control = new AbortController();
      const writes = Array.from({ length: 8 }, () =>
        slow.aim(id, '10.0.0.2', { timeoutMs: 30_000, signal: control.signal }),
      );
      const results = Promise.allSettled(writes);
      expect(await subject().read(id)).toMatchObject({ address: '10.0.0.1' });
      control.abort();
      expect((await results).map((result) => result.status)).toEqual(writes.map(() => 'rejected'));
    });
  });
});
