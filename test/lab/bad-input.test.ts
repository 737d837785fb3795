import { beforeAll, describe, expect, it } from 'vitest';
import { createVolume, image, inVolume, openLab, removeVolume, whole } from './fixture.ts';
import { setAvailability } from './story/order-node.ts';

const lab = openLab();

beforeAll(() => whole(lab));

async function refused(host: string, ...args: string[]): Promise<string> {
  const { exitCode, stderr } = await lab.docker(host, args);
  expect(exitCode).not.toBe(0);
  return stderr;
}

async function nothingMade(name: string): Promise<void> {
  for (const host of lab.hostNames) {
    expect(await lab.dockerOk(host, ['volume', 'ls', '-q', '--filter', `name=${name}`])).toBe('');
  }
}

describe('bad input', () => {
  it.each([
    ['an unknown option', ['--opt', 'colour=red'], /colour/],
    ['a size without a number', ['--opt', 'size=mb'], /size.*mb/],
    ['a size without a unit', ['--opt', 'size=2'], /size.*2/],
    ['a size with an unknown unit', ['--opt', 'size=100mbb'], /100mbb/],
    ['a file system that is not there', ['--opt', 'fstype=nofs'], /nofs/],
    ['a mode that is none', ['--opt', 'mode=9999'], /9999/],
  ])('%s is refused, naming option and value, and nothing is made', async (_what, flags, message) => {
    const said = await refused('node2', 'volume', 'create', '--driver', 'vfile', ...flags, 'refused');
    expect(said).toMatch(message);
    await nothingMade('refused');
  });

  it('a name with a character that is not allowed is refused', async () => {
    expect(await refused('node1', 'volume', 'create', '--driver', 'vfile', 'no/slash')).toMatch(
      /no\/slash|name/,
    );
    expect(await refused('node1', 'volume', 'create', '--driver', 'vfile', 'x'.repeat(101))).toMatch(/100/);
  });

  it('the removal of an unknown volume is refused', async () => {
    expect(await refused('node3', 'volume', 'rm', 'never-made')).toMatch(
      /never-made.*not found|no such volume/,
    );
  });

  it('creating again with the same options succeeds and changes nothing', async () => {
    await createVolume(lab, 'node1', 'twice', { size: '150mb' });
    await inVolume(lab, 'node1', 'twice', 'echo kept > /volume/f');
    await createVolume(lab, 'node2', 'twice', { size: '150mb' });
    expect(await inVolume(lab, 'node2', 'twice', 'cat /volume/f')).toBe('kept');
    await removeVolume(lab, 'node1', 'twice');
  });

  it('creating again with other options is refused by the plugin, naming the difference', async () => {
    await createVolume(lab, 'node1', 'other', { size: '150mb' });
    // The engine does not pass a Create on for a volume that the driver's Get knows, so this speaks to the plugin itself.
    const said = await lab.shOk(
      'node2',
      `curl -sS --unix-socket /run/docker/plugins/*/vfile.sock -d '{"Name":"other","Opts":{"size":"300mb"}}' http://plugin/VolumeDriver.Create`,
    );
    expect(said).toMatch(/size/);
    expect(said).toMatch(/150mb/i);
    expect(said).toMatch(/300mb/i);
    await removeVolume(lab, 'node1', 'other');
  });
});

describe('bad times', () => {
  it('without a node fit to serve, a mount fails within its deadline and says why; it works again with one', async () => {
    await createVolume(lab, 'node1', 'nowhere');
    for (const host of lab.hostNames) await setAvailability(lab, host, 'pause');
    try {
      const said = await refused(
        'node2',
        'run',
        '--rm',
        '--mount',
        'type=volume,source=nowhere,target=/v',
        image,
        'true',
      );
      expect(said).toMatch(/nowhere/);
      expect(said).toMatch(/pause/);
    } finally {
      for (const host of lab.hostNames) await setAvailability(lab, host, 'active');
    }
    expect(await inVolume(lab, 'node2', 'nowhere', 'echo back > /volume/f; cat /volume/f')).toBe('back');
    await removeVolume(lab, 'node1', 'nowhere');
  });

  it('with etcd out of reach, create says so, known volumes stay known, and all is well after', async () => {
    await createVolume(lab, 'node3', 'remembered');
    await lab.cut('node3');
    try {
      expect(await refused('node3', 'volume', 'create', '--driver', 'vfile', 'unreachable')).toMatch(/etcd/);
      const listed = await lab.dockerOk('node3', ['volume', 'ls', '-q', '--filter', 'name=remembered']);
      expect(listed.split('\n')).toContain('remembered');
    } finally {
      await lab.mend('node3');
    }
    await whole(lab);
    expect(await lab.dockerOk('node3', ['volume', 'ls', '-q', '--filter', 'name=unreachable'])).toBe('');
    await removeVolume(lab, 'node3', 'remembered');
  });
});
