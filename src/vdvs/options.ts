import { VolumeError } from '../lib/errors.ts';
import { parseSize, renderSize } from './sizes.ts';
import type { BlockOptions } from './types.ts';

/** Options as Docker passes them. */
export type RawOptions = Readonly<Record<string, string>>;

/**
 * File systems a volume can have: those that can be shut down without flushing, which is what keeps a host that has
 * lost its lease from writing. Value: the smallest disk its tools accept, in bytes.
 */
export const filesystems: Readonly<Record<string, { readonly minBytes: number }>> = Object.freeze({
  ext4: { minBytes: 2 ** 20 },
  xfs: { minBytes: 300 * 2 ** 20 },
});

const defaultSizeBytes = 100 * 2 ** 20;
const diskformats = ['thin', 'zeroedthick', 'eagerzeroedthick'] as const;
const attachModes = ['independent_persistent', 'persistent'] as const;
const accessModes = ['read-write', 'read-only'] as const;
const attachTimes = ['at-once', 'deferred'] as const;
const known = [
  'size',
  'fstype',
  'diskformat',
  'attach-as',
  'access',
  'attach',
  'clone-from',
  'vsan-policy-name',
  'policy',
  'uid',
  'gid',
  'mode',
] as const;

function invalid(option: string, value: string, valid: string): VolumeError {
  return new VolumeError('invalid', `option ${option}: "${value}" is not possible; valid: ${valid}`);
}

function oneOf<T extends string>(
  option: string,
  value: string | undefined,
  valid: readonly T[],
): T | undefined {
  if (value === undefined) return undefined;
  const found = valid.find((candidate) => candidate === value);
  if (found === undefined) throw invalid(option, value, valid.join(', '));
  return found;
}

function wholeNumber(option: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  // The largest 32-bit number means "no change" to chown.
  if (!/^\d{1,10}$/.test(value) || Number(value) >= 2 ** 32 - 1) {
    throw invalid(option, value, 'a whole number from 0 to 4294967294');
  }
  return Number(value);
}

function permissions(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (!/^[0-7]{3,4}$/.test(value)) throw invalid('mode', value, 'octal permissions, for example 0770');
  return Number.parseInt(value, 8);
}

/**
 * Checks all options of a new volume and fills in defaults. A volume without a size is 100 MB, or the least that its
 * file system needs.
 * @throws VolumeError `invalid` naming option, value and what is valid.
 */
export function parseBlockOptions(raw: RawOptions): BlockOptions {
  for (const option of Object.keys(raw)) {
    if (!known.some((name) => name === option)) {
      throw new VolumeError('invalid', `option ${option} is unknown; valid: ${known.join(', ')}`);
    }
  }
  const cloneFrom = raw['clone-from'];
  for (const option of ['size', 'fstype'] as const) {
    if (cloneFrom !== undefined && raw[option] !== undefined) {
      throw new VolumeError(
        'invalid',
        `option ${option} cannot be given with clone-from: a clone has its source's`,
      );
    }
  }
  if (raw.policy !== undefined && raw['vsan-policy-name'] !== undefined) {
    throw new VolumeError('invalid', 'options policy and vsan-policy-name mean the same: give one of them');
  }
  const policy = raw.policy ?? raw['vsan-policy-name'];
  const fstype = oneOf('fstype', raw.fstype, Object.keys(filesystems)) ?? 'ext4';
  const minBytes = filesystems[fstype]?.minBytes ?? 0;
  const sizeBytes =
    raw.size === undefined ? Math.max(defaultSizeBytes, minBytes) : parseSize('size', raw.size);
  if (sizeBytes < minBytes) {
    throw invalid('size', raw.size ?? '', `at least ${renderSize(minBytes)} with fstype ${fstype}`);
  }
  const attach = oneOf('attach', raw.attach, attachTimes);
  const uid = wholeNumber('uid', raw.uid);
  const gid = wholeNumber('gid', raw.gid);
  const mode = permissions(raw.mode);
  return {
    sizeBytes,
    fstype,
    diskformat: oneOf('diskformat', raw.diskformat, diskformats) ?? 'thin',
    attachAs: oneOf('attach-as', raw['attach-as'], attachModes) ?? 'independent_persistent',
    access: oneOf('access', raw.access, accessModes) ?? 'read-write',
    ...(attach === undefined ? {} : { attach }),
    ...(cloneFrom === undefined ? {} : { cloneFrom }),
    ...(policy === undefined ? {} : { policy }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
    ...(mode === undefined ? {} : { mode }),
  };
}

const shown: { readonly [Key in keyof BlockOptions]-?: { option: string; given: readonly string[] } } = {
  sizeBytes: { option: 'size', given: ['size'] },
  fstype: { option: 'fstype', given: ['fstype'] },
  diskformat: { option: 'diskformat', given: ['diskformat'] },
  attachAs: { option: 'attach-as', given: ['attach-as'] },
  access: { option: 'access', given: ['access'] },
  attach: { option: 'attach', given: ['attach'] },
  cloneFrom: { option: 'clone-from', given: ['clone-from'] },
  policy: { option: 'policy', given: ['policy', 'vsan-policy-name'] },
  uid: { option: 'uid', given: ['uid'] },
  gid: { option: 'gid', given: ['gid'] },
  mode: { option: 'mode', given: ['mode'] },
};

function render(key: string, value: unknown): string {
  if (typeof value !== 'number') return value === undefined ? 'none' : String(value);
  if (key === 'sizeBytes') return renderSize(value);
  return key === 'mode' ? `0${value.toString(8)}` : String(value);
}

/**
 * Options as a second create leaves them: a volume for which nobody ever said when a mount answers takes on what is asked
 * now, because volumes exist that were made before there was that choice. A choice that was made stays.
 */
export function withAttachOf(existing: BlockOptions, raw: RawOptions): BlockOptions {
  const { attach } = parseBlockOptions(raw);
  return existing.attach !== undefined || attach === undefined ? existing : { ...existing, attach };
}

/**
 * What a second create asks for that the existing volume does not have. An option that is not given asks for nothing, and
 * `attach` is no difference to a volume that has none (see `withAttachOf`).
 * @returns for example `size is 1gb, not 2gb`; `undefined` when there is no difference.
 */
export function differenceTo(existing: BlockOptions, raw: RawOptions): string | undefined {
  const asked = parseBlockOptions(raw);
  const had = withAttachOf(existing, raw);
  const differences = (Object.keys(shown) as (keyof BlockOptions)[])
    .filter((key) => shown[key].given.some((option) => raw[option] !== undefined) && asked[key] !== had[key])
    .map((key) => `${shown[key].option} is ${render(key, had[key])}, not ${render(key, asked[key])}`);
  return differences.length > 0 ? differences.join(', ') : undefined;
}
