import { describe, expect, it } from 'vitest';
import { checkOptions, optionDifferences } from '../../../src/vfile/options.ts';

describe('options of a volume on vDVS', () => {
  it('none: the base volume gets the default size', () => {
    expect(checkOptions({}, 'vdvs')).toEqual({ base: { size: '100mb' } });
  });

  it("its own are kept, the base volume's passed on", () => {
    const given = {
      size: '10GB',
      fstype: 'xfs',
      uid: '1000',
      gid: '0',
      mode: '0770',
      lease: '3s',
      linger: '5m',
      diskformat: 'thin',
      access: 'read-only',
    };
    expect(checkOptions(given, 'vdvs')).toEqual({
      uid: 1000,
      gid: 0,
      mode: 0o770,
      leaseMs: 3_000,
      lingerMs: 300_000,
      access: 'read-only',
      base: { size: '10GB', fstype: 'xfs', diskformat: 'thin' },
    });
  });

  it.each([
    ['size', '2'],
    ['size', 'mb'],
    ['size', '100mbb'],
    ['size', '14000pb'],
    ['size', '0mb'],
    ['size', '-1gb'],
    ['size', '999999999tb'],
    ['size', ''],
    ['fstype', '../sh'],
    ['diskformat', 'thiN'],
    ['diskformat', 'zeroedthick,thin'],
    ['attach-as', 'shared'],
    ['uid', '4294967295'],
    ['uid', 'root'],
    ['mode', '999'],
    ['mode', '07777777'],
    ['access', 'write-only'],
    ['lease', '1s'],
    ['lease', '10'],
    ['linger', '25h'],
  ])('%s=%s is refused, naming option, value and what is valid', (name, value) => {
    expect(() => checkOptions({ [name]: value }, 'vdvs')).toThrow(
      new RegExp(`option ${name}=${value.replace(/[.,/]/g, '.')} is not valid: .{6,}`),
    );
  });

  it.each(['vdvs', 'vdvs:latest', 'vsphere:0.1'])('attach is not for users to choose on %s', (driver) => {
    expect(() => checkOptions({ attach: 'now' }, driver)).toThrow(
      /unknown option attach=now; valid options: /,
    );
  });

  it('a clone asks for the base volume of its source, and for no size of its own', () => {
    expect(checkOptions({ 'clone-from': 'shared', access: 'read-only' }, 'vdvs')).toMatchObject({
      access: 'read-only',
      base: { 'clone-from': '_vF_shared' },
    });
    expect(checkOptions({ 'clone-from': 'shared' }, 'vdvs').base).not.toHaveProperty('size');
    expect(checkOptions({ 'clone-from': '_vF_shared-000001' }, 'vdvs').base).toEqual({
      'clone-from': '_vF_shared-000001',
    });
    expect(() => checkOptions({ 'clone-from': 'shared', size: '1gb', mode: '0700' }, 'vdvs')).toThrow(
      /option size=1gb cannot be given with clone-from.*option mode=0700 cannot be given with clone-from/,
    );
    for (const name of ['', 'a/b', '_vF_shared']) {
      expect(() => checkOptions({ 'clone-from': name }, 'vdvs')).toThrow(
        `option clone-from=${name} is not valid: the name of a volume`,
      );
    }
    // Another driver's options are its own.
    expect(checkOptions({ 'clone-from': 'shared', size: '1' }, 'other').base).toEqual({
      'clone-from': 'shared',
      size: '1',
    });
  });

  it('unknown options are refused with the list of known ones, all problems at once', () => {
    expect(() => checkOptions({ sizes: '1gb', size: 'x', constructor: '1' }, 'vdvs')).toThrow(
      /unknown option sizes=1gb; valid options: access, attach-as,.*uid.*option size=x.*unknown option constructor=1/,
    );
  });
});

describe('options of a volume on another driver', () => {
  it("all but vFile's own are passed on unchecked", () => {
    expect(checkOptions({ size: '7 foo', uid: '5' }, 'rexray')).toEqual({ uid: 5, base: { size: '7 foo' } });
  });

  it("vFile's own are still checked", () => {
    expect(() => checkOptions({ mode: 'rwx' }, 'rexray')).toThrow(/option mode=rwx is not valid/);
  });
});

describe('a create of an existing volume', () => {
  it.each([
    [{}, {}],
    [{ size: '10gb', mode: '0770' }, {}],
    [{ size: '10gb' }, { size: '10240MB' }],
    [{}, { size: '100mb', fstype: 'ext4', uid: '0' }],
    [{ mode: '0770' }, { mode: '770' }],
    [{ linger: '60s' }, { linger: '1m' }],
  ])('with options %j and given %j changes nothing', (existing, given) => {
    expect(optionDifferences(existing, given, 'vdvs')).toEqual([]);
  });

  it.each([
    [{ size: '10gb' }, { size: '20gb' }, 'size is 10gb, not 20gb'],
    [{}, { size: '20gb' }, 'size is 100mb, not 20gb'],
    [{}, { mode: '0777' }, 'mode is not set, not 0777'],
    [{ fstype: 'xfs' }, { fstype: 'ext4' }, 'fstype is xfs, not ext4'],
  ])('with options %j and given %j differs: %s', (existing, given, difference) => {
    expect(optionDifferences(existing, given, 'vdvs')).toEqual([difference]);
  });

  it('on another driver compares texts', () => {
    expect(optionDifferences({ size: '1024mb' }, { size: '1gb' }, 'rexray')).toEqual([
      'size is 1024mb, not 1gb',
    ]);
  });
});
