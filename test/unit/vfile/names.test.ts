import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { baseVolumeOf, checkVolumeName, serverHostnameOf, serviceNameOf } from '../../../src/vfile/names.ts';

const anyName = fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,99}$/);

describe('names of volumes', () => {
  it.each(['a', 'Shared.Vol_1-x', '9', 'x'.repeat(100)])('%s is taken', (name) => {
    expect(() => checkVolumeName(name)).not.toThrow();
  });

  it.each(['', '.a', '-a', '_a', 'a/b', 'a\\b', 'a b', 'a@ds', 'ä', '..', 'a\n'])('%j is refused', (name) => {
    expect(() => checkVolumeName(name)).toThrow(/not valid: letters, digits/);
  });

  it('refuses 101 characters and says how many are allowed', () => {
    expect(() => checkVolumeName('x'.repeat(101))).toThrow(/101 characters long; at most 100/);
  });
});

describe('names derived from a volume', () => {
  it.each([
    ['shared', 'vfile-shared', 'vfile-shared', '_vF_shared'],
    ['a_b', 'vfile-a_b', expect.stringMatching(/^vfile-a-b-[0-9a-f]{10}$/), '_vF_a_b'],
    [
      'SharedVol',
      expect.stringMatching(/^vfile-SharedVol-[0-9a-f]{10}$/),
      expect.stringMatching(/^vfile-sharedvol-[0-9a-f]{10}$/),
      '_vF_SharedVol',
    ],
    [
      'snap-123456',
      'vfile-snap-123456',
      'vfile-snap-123456',
      expect.stringMatching(/^_vF_snap-123456-[0-9a-f]{10}$/),
    ],
  ])('%s', (volume, service, hostname, base) => {
    expect(serviceNameOf(volume)).toEqual(service);
    expect(serverHostnameOf(volume)).toEqual(hostname);
    expect(baseVolumeOf(volume)).toEqual(base);
  });

  it('fit their targets whatever the volume is called', () => {
    fc.assert(
      fc.property(anyName, (volume) => {
        expect(serviceNameOf(volume)).toMatch(/^[a-zA-Z0-9][a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_-]$/);
        expect(serverHostnameOf(volume)).toMatch(/^[a-z][a-z0-9-]{0,61}[a-z0-9]$/);
        expect(baseVolumeOf(volume).length).toBeLessThanOrEqual(100);
        expect(baseVolumeOf(volume)).toMatch(/^_vF_[a-zA-Z0-9_.-]+$/);
        expect(/-\d{6}$/.test(baseVolumeOf(volume)) && baseVolumeOf(volume) === `_vF_${volume}`).toBe(false);
      }),
    );
  });

  it('differ for different volumes, also where only case, a dot or the end of a long name differs', () => {
    const pairs = [
      ['Vol', 'vol'],
      ['a.b', 'a-b'],
      [`${'x'.repeat(99)}1`, `${'x'.repeat(99)}2`],
      ['vol1', 'vol10'],
    ];
    for (const [one = '', other = ''] of pairs) {
      expect(serviceNameOf(one).toLowerCase()).not.toBe(serviceNameOf(other).toLowerCase());
      expect(baseVolumeOf(one)).not.toBe(baseVolumeOf(other));
    }
  });
});
