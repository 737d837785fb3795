import { VolumeError } from '../lib/errors.ts';
import { baseVolumeOf, checkVolumeName } from './names.ts';
import { BadValue, parseDuration, parseId, parseMode, parseSize } from './option-values.ts';

/** A volume's options, checked. */
export interface VolumeOptions {
  /** Owner of the volume's root, where given; applied by the file server when it first exports the volume. */
  readonly uid?: number;
  readonly gid?: number;
  /** Permission bits of the volume's root, where given. */
  readonly mode?: number;
  /** `read-only` is refused to writers by the file server. */
  readonly access?: 'read-write' | 'read-only';
  /** Time after which a server that lost contact counts as gone; the setting's value where absent. */
  readonly leaseMs?: number;
  /** How long an unused server stays; the setting's value where absent. */
  readonly lingerMs?: number;
  /** What is passed on to the base volume's driver. */
  readonly base: Readonly<Record<string, string>>;
}

/** Options by name, as Docker hands them over. */
export type GivenOptions = Readonly<Record<string, string>>;

interface OptionRule {
  /** A value to compare by, or what is valid. */
  parse(text: string): number | string | BadValue;
  /** What an absent option means, as a text that `parse` takes; absent when it depends on settings. */
  readonly absent?: string;
}

function oneOf(...allowed: readonly string[]): (text: string) => string | BadValue {
  return (text) => (allowed.includes(text) ? text : new BadValue(`one of ${allowed.join(', ')}`));
}

function word(text: string): string | BadValue {
  return /^[\x21-\x7e][\x20-\x7e]{0,254}$/.test(text) ? text : new BadValue('a name');
}

/** Snapshots are of the base volumes, whose names no shared volume can have. */
const baseSnapshot = /^_vF_.+-\d{6}$/;

function source(text: string): string | BadValue {
  if (baseSnapshot.test(text)) return text;
  try {
    checkVolumeName(text);
    return text;
  } catch {
    return new BadValue('the name of a volume, or of a snapshot of its base volume (_vF_NAME-000001)');
  }
}

/** What a clone has from its source, so that it cannot be asked for. */
const ofSource = ['size', 'fstype', 'uid', 'gid', 'mode'] as const;

/** Options that vFile itself acts on, whatever the base driver. */
const ownRules: Readonly<Record<string, OptionRule>> = {
  uid: { parse: parseId, absent: '0' },
  gid: { parse: parseId, absent: '0' },
  mode: { parse: parseMode },
  access: { parse: oneOf('read-write', 'read-only'), absent: 'read-write' },
  lease: { parse: (text) => parseDuration(text, '2s', '60s') },
  linger: { parse: (text) => parseDuration(text, '0s', '24h') },
};

/** Options of a vDVS volume that make sense under a file server; vDVS checks them again. */
const vdvsRules: Readonly<Record<string, OptionRule>> = {
  size: { parse: parseSize, absent: '100mb' },
  fstype: {
    parse: (text) =>
      /^[a-z][a-z0-9]{1,15}$/.test(text) ? text : new BadValue('a file system, for example ext4 or xfs'),
    absent: 'ext4',
  },
  diskformat: { parse: oneOf('thin', 'zeroedthick', 'eagerzeroedthick'), absent: 'thin' },
  'attach-as': {
    parse: oneOf('independent_persistent', 'persistent'),
    absent: 'independent_persistent',
  },
  'clone-from': { parse: source },
  policy: { parse: word },
  'vsan-policy-name': { parse: word },
};

/**
 * Whether a base driver is vDVS, with or without a tag: its options are known here, so that mistakes can be refused before
 * anything exists, and its volumes can be mounted before their disk is free.
 */
export function isVdvs(baseDriver: string): boolean {
  return /^(vdvs|vsphere)(:[\w.-]+)?$/.test(baseDriver);
}

function rulesFor(baseDriver: string): Readonly<Record<string, OptionRule>> {
  return isVdvs(baseDriver) ? { ...vdvsRules, ...ownRules } : ownRules;
}

/**
 * Checks options before anything exists.
 * @param baseDriver driver of the base volume. Only vDVS' options are known; any other driver gets what is not
 *   vFile's own unchecked.
 * @throws VolumeError `invalid` naming every option that is wrong, its value and what is valid.
 */
export function checkOptions(given: GivenOptions, baseDriver: string): VolumeOptions {
  const rules = rulesFor(baseDriver);
  const problems: string[] = [];
  const own: Record<string, number | string> = {};
  const clones = isVdvs(baseDriver) && Object.hasOwn(given, 'clone-from');
  const sized = isVdvs(baseDriver) && !clones;
  const base: Record<string, string> = sized ? { size: vdvsRules.size?.absent ?? '' } : {};
  for (const [name, text] of Object.entries(given)) {
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
    if (!rule) {
      if (isVdvs(baseDriver)) {
        problems.push(
          `unknown option ${name}=${text}; valid options: ${Object.keys(rules).sort().join(', ')}`,
        );
      } else base[name] = text;
      continue;
    }
    const value = rule.parse(text);
    if (value instanceof BadValue) problems.push(`option ${name}=${text} is not valid: ${value.expected}`);
    else if (clones && ofSource.some((one) => one === name)) {
      problems.push(`option ${name}=${text} cannot be given with clone-from: a clone has its source's`);
    } else if (Object.hasOwn(ownRules, name)) own[name] = value;
    else if (name === 'clone-from') base[name] = baseSnapshot.test(text) ? text : baseVolumeOf(text);
    else base[name] = text;
  }
  if (problems.length > 0) throw new VolumeError('invalid', problems.join('; '));
  const number = (name: string): number | undefined =>
    typeof own[name] === 'number' ? own[name] : undefined;
  const [uid, gid, mode, leaseMs, lingerMs] = ['uid', 'gid', 'mode', 'lease', 'linger'].map(number);
  return {
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
    ...(mode === undefined ? {} : { mode }),
    ...(leaseMs === undefined ? {} : { leaseMs }),
    ...(lingerMs === undefined ? {} : { lingerMs }),
    ...(own.access === 'read-only' || own.access === 'read-write' ? { access: own.access } : {}),
    base,
  };
}

/**
 * How the options of a create differ from those of the volume that exists. An option that is not given asks for
 * nothing, so a create without options fits every volume: each node of a service sends one. Values are compared by
 * meaning: `1gb` is `1024mb`.
 * @returns one sentence for each difference; empty when the create changes nothing.
 */
export function optionDifferences(existing: GivenOptions, given: GivenOptions, baseDriver: string): string[] {
  const rules = rulesFor(baseDriver);
  return Object.entries(given).flatMap(([name, text]) => {
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
    const has = Object.hasOwn(existing, name) ? existing[name] : rule?.absent;
    const same =
      has !== undefined && (has === text || (rule !== undefined && rule.parse(has) === rule.parse(text)));
    return same ? [] : [`${name} is ${has ?? 'not set'}, not ${text}`];
  });
}
