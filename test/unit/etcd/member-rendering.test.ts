import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { renderHosts, writeHosts } from '../../../src/etcd/member/hosts-file.ts';
import { type FlagInput, renderFlags } from '../../../src/etcd/member/render-flags.ts';
import { readMemberSettings } from '../../../src/etcd/member/settings.ts';
import type { Member } from '../../../src/etcd/member/types.ts';

const input: FlagInput = {
  nodeId: 'me',
  address: '10.0.0.1',
  dataDir: '/var/lib/etcd/data',
  tls: { cert: '/p/node.crt', key: '/p/node.key', ca: '/p/ca.crt' },
  token: 'vfile-c1',
  version: { major: 3, minor: 5 },
  start: { do: 'start', with: 'bootstrap' },
  settings: readMemberSettings({}),
};
const member = (nodeId: string, started: boolean): Member => ({
  ...{ id: nodeId, nodeId, started, learner: !started, clientAddresses: [] },
  peerUrls: [`https://${nodeId}:2380`],
});

describe("etcd's flags", () => {
  it('form a cluster of one', () => {
    const flags = renderFlags(input);
    expect(flags).toContain('--initial-cluster=me=https://me:2380');
    expect(flags).toContain('--initial-cluster-state=new');
  });

  it('join with all members that are listed, the own one included', () => {
    const members = [member('a', true), member('me', false)];
    const flags = renderFlags({ ...input, start: { do: 'start', with: 'join', members } });
    expect(flags).toContain('--initial-cluster=a=https://a:2380,me=https://me:2380');
    expect(flags).toContain('--initial-cluster-state=existing');
  });

  it('say nothing of the cluster when there are data', () => {
    const flags = renderFlags({ ...input, start: { do: 'start', with: 'data' } });
    expect(flags.filter((flag) => flag.startsWith('--initial-cluster='))).toEqual([]);
  });

  it('serve no plain text and nobody without a certificate', () => {
    const flags = renderFlags(input);
    expect(flags.filter((flag) => flag.includes('http://'))).toEqual([]);
    expect(flags).toContain('--client-cert-auth=true');
    expect(flags).toContain('--peer-client-cert-auth=true');
    expect(flags).toContain('--peer-cert-allowed-hostname=swarm-manager');
  });

  it('listen on the own address and loopback', () => {
    expect(renderFlags(input)).toContain('--listen-client-urls=https://10.0.0.1:2379,https://127.0.0.1:2379');
    const six = renderFlags({ ...input, address: 'fd00::1' });
    expect(six).toContain('--listen-peer-urls=https://[fd00::1]:2380');
  });

  it('leave out what newer versions do not know', () => {
    const flags = renderFlags({ ...input, version: { major: 3, minor: 6 } }).join(' ');
    expect(flags).not.toContain('enable-v2');
    expect(flags).not.toContain('experimental');
  });
});

describe('the settings of a member', () => {
  it('are reported all at once when they are wrong', () => {
    const env = { VFILE_ETCD_CLIENT_PORT: '0', VFILE_ETCD_DATA: 'here', VFILE_ETCD_PEER_PORT: '' };
    expect(() => readMemberSettings(env)).toThrow(/VFILE_ETCD_CLIENT_PORT="0".*VFILE_ETCD_DATA="here"/);
  });

  it('keep the times that etcd itself demands', () => {
    const env = { VFILE_ETCD_HEARTBEAT_MS: '500', VFILE_ETCD_ELECTION_MS: '1000' };
    expect(() => readMemberSettings(env)).toThrow(/five times/);
  });

  it('may leave loopback out', () => {
    expect(readMemberSettings({ VFILE_ETCD_LISTEN_ALSO: ',' }).listenAlso).toEqual([]);
  });
});

describe('the hosts file', () => {
  const one = [{ nodeId: 'b', address: '10.0.0.2' }];
  const both = [...one, { nodeId: 'a', address: '10.0.0.1' }];

  it('keeps what others wrote', () => {
    const text = renderHosts('127.0.0.1 localhost\n', both);
    expect(text).toMatch(/^127.0.0.1 localhost\n# vfile.*begin.*\n10.0.0.1\ta\n10.0.0.2\tb\n# vfile.*end\n$/);
  });

  it('has our lines once, however often they change', () => {
    const text = renderHosts(renderHosts(renderHosts('127.0.0.1 localhost\n\n', one), both), one);
    expect(text).toBe(renderHosts('127.0.0.1 localhost\n', one));
  });

  it('is written in place', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'vfile-hosts-'));
    const path = join(dir, 'hosts');
    writeFileSync(path, '127.0.0.1 localhost\n');
    const { ino } = statSync(path);
    await writeHosts(path, both);
    expect(statSync(path).ino).toBe(ino);
    expect(readFileSync(path, 'utf8')).toContain('10.0.0.2\tb');
    rmSync(dir, { recursive: true });
  });
});
