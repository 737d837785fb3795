import { describe, expect, it } from 'vitest';
import { differenceTo, parseBlockOptions, withAttachOf } from '../../../src/vdvs/options.ts';

describe('options of a block volume', () => {
  it('have the documented defaults', () => {
    expect(parseBlockOptions({})).toEqual({
      sizeBytes: 100 * 2 ** 20,
      fstype: 'ext4',
      diskformat: 'thin',
      attachAs: 'independent_persistent',
      access: 'read-write',
    });
  });

  it('are taken as given', () => {
    expect(
      parseBlockOptions({
        size: '10GB',
        fstype: 'xfs',
        diskformat: 'eagerzeroedthick',
        'attach-as': 'persistent',
        access: 'read-only',
        attach: 'deferred',
        'vsan-policy-name': 'gold',
        uid: '1000',
        gid: '0',
        mode: '0770',
      }),
    ).toEqual({
      sizeBytes: 10 * 2 ** 30,
      fstype: 'xfs',
      diskformat: 'eagerzeroedthick',
      attachAs: 'persistent',
      access: 'read-only',
      attach: 'deferred',
      policy: 'gold',
      uid: 1000,
      gid: 0,
      mode: 0o770,
    });
  });

  it('make a volume without a size as large as its file system needs', () => {
    expect(parseBlockOptions({ fstype: 'xfs' }).sizeBytes).toBe(300 * 2 ** 20);
  });

  it.each([
    [{ size: '2' }, 'option size: "2" is not a size'],
    [{ size: 'mb' }, 'option size: "mb" is not a size'],
    [{ size: '100mbb' }, 'option size: "100mbb" is not a size'],
    [{ size: '14000pb' }, 'option size: "14000pb" is not a size'],
    [{ size: '' }, 'option size: "" is not a size'],
    [{ size: '-1gb' }, 'option size: "-1gb" is not a size'],
    [{ size: '0gb' }, 'from 1mb to 62tb'],
    [{ size: '63tb' }, 'from 1mb to 62tb'],
    [{ size: '100mb', fstype: 'xfs' }, 'at least 300mb with fstype xfs'],
    [{ diskformat: 'thiN' }, 'option diskformat: "thiN" is not possible; valid: thin, zeroedthick'],
    [{ diskformat: 'zeroedthick,thin' }, 'option diskformat: "zeroedthick,thin"'],
    [{ access: 'write-only' }, 'option access: "write-only" is not possible; valid: read-write, read-only'],
    [{ attach: 'later' }, 'option attach: "later" is not possible; valid: at-once, deferred'],
    [{ 'attach-as': 'x' }, 'option attach-as: "x"'],
    [{ fstype: 'ntfs' }, 'option fstype: "ntfs" is not possible; valid: ext4, xfs'],
    [{ fstype: 'constructor' }, 'option fstype: "constructor" is not possible'],
    [{ siez: '1gb' }, 'option siez is unknown; valid: size, fstype'],
    [{ 'clone-from': 'a', size: '1gb' }, 'option size cannot be given with clone-from'],
    [{ 'clone-from': 'a', fstype: 'xfs' }, 'option fstype cannot be given with clone-from'],
    [{ policy: 'a', 'vsan-policy-name': 'a' }, 'mean the same'],
    [{ uid: 'root' }, 'option uid: "root"'],
    [{ gid: '4294967295' }, 'option gid: "4294967295"'],
    [{ mode: '0999' }, 'option mode: "0999"'],
  ])('%j are refused', (raw, message) => {
    expect(() => parseBlockOptions(raw as unknown as Record<string, string>)).toThrow(message);
  });
});

describe('a second create', () => {
  const existing = parseBlockOptions({ size: '1gb', mode: '0750' });

  it('may repeat or leave out what the volume has', () => {
    expect(differenceTo(existing, {})).toBeUndefined();
    expect(differenceTo(existing, { size: '1024MB', fstype: 'ext4' })).toBeUndefined();
  });

  it('may say when a mount answers where nobody ever did, and not otherwise', () => {
    expect(differenceTo(existing, { attach: 'deferred' })).toBeUndefined();
    const chosen = withAttachOf(existing, { attach: 'deferred' });
    expect(chosen).toEqual({ ...existing, attach: 'deferred' });
    expect(withAttachOf(chosen, {})).toBe(chosen);
    expect(differenceTo(chosen, { attach: 'deferred' })).toBeUndefined();
    expect(differenceTo(chosen, { attach: 'at-once' })).toBe('attach is deferred, not at-once');
    expect(differenceTo(existing, { attach: 'deferred', size: '2gb' })).toBe('size is 1gb, not 2gb');
  });

  it('is told every difference', () => {
    expect(differenceTo(existing, { size: '2gb', fstype: 'xfs', mode: '0700', uid: '5' })).toBe(
      'size is 1gb, not 2gb, fstype is ext4, not xfs, uid is none, not 5, mode is 0750, not 0700',
    );
  });
});
