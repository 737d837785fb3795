import { describe, expect, test } from 'vitest';
import { hostSpecs } from '../../lab/tool/host-spec.ts';
import { buildWaves } from '../../lab/tool/manifest.ts';
import { labPaths } from '../../lab/tool/paths.ts';
import { missingOn } from '../../lab/tool/preflight.ts';
import { isAlive, processInfo } from '../../lab/tool/processes.ts';
import { waitFor } from '../../lab/tool/wait.ts';

const fit = {
  user: 0,
  architecture: 'x64',
  osRelease: 'PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\n',
  tun: true,
  loop: true,
  overlay: true,
  freeBytes: 50e9,
  freeMemoryBytes: 8e9,
};

describe('what a machine must have', () => {
  test('a machine with everything is fit', () => {
    expect(missingOn(fit)).toEqual([]);
    expect(missingOn({ ...fit, osRelease: 'ID=ubuntu\nID_LIKE=debian\n' })).toEqual([]);
  });

  test('all that is missing is said at once, each with what to do', () => {
    const missing = missingOn({ ...fit, user: 1000, osRelease: 'ID=fedora\n', tun: false });
    expect(missing).toHaveLength(3);
    expect(missing.join('\n')).toMatch(/run it as root.*not a Debian-like system.*\/dev\/net\/tun/s);
  });

  test('too little disk or memory is said with the figures', () => {
    expect(missingOn({ ...fit, freeBytes: 1.5e9 })).toEqual([
      'only 1.5 GB of disk are free; the lab needs 6 GB',
    ]);
    expect(missingOn({ ...fit, freeMemoryBytes: 2e9 })[0]).toContain('only 2.0 GB of memory');
  });
});

describe('places and names', () => {
  test('labs in different folders have different namespaces, the same folder always the same', () => {
    const one = labPaths({ VFILE_LAB_DIR: '/tmp/one' });
    expect(labPaths({ VFILE_LAB_DIR: '/tmp/one' }).netns).toBe(one.netns);
    expect(labPaths({ VFILE_LAB_DIR: '/tmp/two' }).netns).not.toBe(one.netns);
  });

  test('a folder too long for sockets is refused, saying what to do', () => {
    expect(() => labPaths({ VFILE_LAB_DIR: `/tmp/${'x'.repeat(100)}` })).toThrow(
      'set VFILE_LAB_DIR to a shorter one',
    );
  });

  test('no two hosts share a name, an address, a wire or a socket', () => {
    const hosts = hostSpecs(labPaths({ VFILE_LAB_DIR: '/tmp/one' }), 20);
    for (const key of [
      'name',
      'address',
      'managementAddress',
      'mac',
      'managementMac',
      'tap',
      'agentSocket',
    ] as const) {
      expect(new Set(hosts.map((host) => host[key])).size).toBe(20);
    }
  });
});

describe('the order of builds', () => {
  const image = (name: string) => ({ name, dockerfile: name, context: '.' });

  test('what needs only what is built already is built together', () => {
    const dockerfiles: Record<string, string> = {
      base: 'ARG BASE=debian:trixie-slim\nFROM $BASE\n',
      left: 'FROM base:1\n',
      right: 'FROM base:1\nRUN true\n',
      top: 'FROM left:1\n',
    };
    const waves = buildWaves(
      ['base', 'left', 'right', 'top'].map(image),
      ({ name }) => dockerfiles[name] ?? '',
    );
    expect(waves.map((wave) => wave.map(({ name }) => name))).toEqual([['base'], ['left', 'right'], ['top']]);
  });
});

describe('processes', () => {
  test('a process is known by its start time as well as its ID', () => {
    const self = processInfo(process.pid);
    expect(self?.state).toBe('R');
    expect(isAlive(process.pid, self?.startTime ?? '')).toBe(true);
    expect(isAlive(process.pid, '1')).toBe(false);
    expect(isAlive(4_194_305, '1')).toBe(false);
  });
});

describe('waiting', () => {
  test('ends with the last reason at the deadline', async () => {
    const look = () => ({ done: false, reason: 'not yet' }) as const;
    await expect(waitFor(look, { what: 'it', timeoutMs: 20, everyMs: 5 })).rejects.toThrow(
      'it: not after 0.02 s: not yet',
    );
  });

  test('ends at once when it is hopeless', async () => {
    const look = () => ({ done: false, reason: 'it is gone', hopeless: true }) as const;
    await expect(waitFor(look, { what: 'it', timeoutMs: 60_000 })).rejects.toThrow('it: it is gone');
  });

  test('says a reason once, and takes an error of the look as one', async () => {
    const said: string[] = [];
    let looks = 0;
    const look = () => {
      looks += 1;
      if (looks < 4) throw new Error('refused');
      return { done: true, value: looks } as const;
    };
    expect(
      await waitFor(look, { what: 'it', timeoutMs: 5_000, everyMs: 1, say: (text) => said.push(text) }),
    ).toBe(4);
    expect(said).toEqual(['waiting for it: refused']);
  });
});
