import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { silentLog } from '../../src/lib/log.ts';
import { ManualClock } from '../../src/lib/manual-clock.ts';
import type { NodeIdentitySource } from '../../src/lib/node-identity.ts';
import { createSwarmCertificates } from '../../src/lib/swarm-certificates.ts';
import { writeTlsFiles } from '../../src/lib/tls-files.ts';
import { createSwarmCa } from './swarm-ca.ts';

describe('node certificates', () => {
  const given = { dir: '', sources: [] as NodeIdentitySource[] };
  const source = (directory: string, clock = new ManualClock()): NodeIdentitySource => {
    const made = createSwarmCertificates({ directory, clock, log: silentLog });
    given.sources.push(made);
    return made;
  };

  beforeEach(() => {
    given.dir = mkdtempSync(join(tmpdir(), 'vfile-certificates-'));
  });
  afterEach(() => {
    for (const made of given.sources.splice(0)) made.stop();
    rmSync(given.dir, { recursive: true, force: true });
  });

  it('say who the node is, and give a key without headers', async () => {
    const directory = createSwarmCa(given.dir, 'c1').issue({ nodeId: 'n1', role: 'swarm-manager' });
    expect(readFileSync(join(directory, 'swarm-node.key'), 'utf8')).toContain('raft-dek:');
    const identity = await source(directory).current();
    expect(identity).toMatchObject({ nodeId: 'n1', role: 'swarm-manager', clusterId: 'c1' });
    expect(identity.tls.key).not.toContain('raft-dek:');
  });

  it('are followed when Swarm renews them with another role', async () => {
    const ca = createSwarmCa(given.dir);
    const clock = new ManualClock();
    const identities = source(ca.issue({ nodeId: 'n1', role: 'swarm-worker' }), clock);
    const before = await identities.current();
    const changed = vi.fn();
    identities.onChange(changed);
    ca.issue({ nodeId: 'n1', role: 'swarm-manager' });
    await vi.waitFor(async () => {
      await clock.advance(2_000);
      expect(changed).toHaveBeenCalledTimes(1);
    });
    const after = await identities.current();
    expect(after.role).toBe('swarm-manager');
    expect(after.tls.cert).not.toBe(before.tls.cert);
    expect(changed).toHaveBeenCalledWith(after);
  });

  it('stay in use while they are half replaced', async () => {
    const ca = createSwarmCa(given.dir);
    const directory = ca.issue({ nodeId: 'n1', role: 'swarm-worker' });
    const other = ca.issue({ nodeId: 'n2', role: 'swarm-worker' });
    const identities = source(directory);
    const before = await identities.current();
    writeFileSync(join(directory, 'swarm-node.key'), readFileSync(join(other, 'swarm-node.key')));
    expect(await identities.current()).toBe(before);
  });

  it('that do not exist are reported with what to do', async () => {
    const missing = source(join(given.dir, 'nothing')).current();
    await expect(missing).rejects.toMatchObject({ code: 'unavailable', message: /swarm init or join/ });
  });

  it('of a locked Swarm are reported with the way out', async () => {
    const directory = createSwarmCa(given.dir).issue({ nodeId: 'n1', role: 'swarm-manager' });
    const key = join(directory, 'swarm-node.key');
    writeFileSync(key, readFileSync(key, 'utf8').replaceAll(' PRIVATE KEY', ' ENCRYPTED PRIVATE KEY'));
    const locked = source(directory).current();
    await expect(locked).rejects.toMatchObject({
      code: 'unavailable',
      message: /autolock.*VFILE_CERTIFICATES/s,
    });
  });

  it('whose key is of another node are refused', async () => {
    const ca = createSwarmCa(given.dir);
    const directory = ca.issue({ nodeId: 'n1', role: 'swarm-manager' });
    const other = ca.issue({ nodeId: 'n2', role: 'swarm-manager' });
    writeFileSync(join(directory, 'swarm-node.key'), readFileSync(join(other, 'swarm-node.key')));
    await expect(source(directory).current()).rejects.toThrow(/does not belong to/);
  });

  it('are written for children where only we can read them', async () => {
    const directory = createSwarmCa(given.dir).issue({ nodeId: 'n1', role: 'swarm-manager' });
    const { tls } = await source(directory).current();
    const warn = vi.fn();
    const paths = await writeTlsFiles({
      directory: join(given.dir, 'private'),
      tls,
      log: { ...silentLog, warn },
    });
    expect(readFileSync(paths.key, 'utf8')).toBe(tls.key);
    expect(statSync(paths.key).mode & 0o777).toBe(0o600);
    expect(statSync(join(given.dir, 'private')).mode & 0o777).toBe(0o700);
  });
});
