import { VolumeError } from '../../lib/errors.ts';
import { parseSize } from '../sizes.ts';
import { changeGroup, findGroup, requireDatastore } from './group-changes.ts';
import { type Access, defaultGroup, type Rules } from './types.ts';

/** Rights as the administrator writes them; sizes as users do, or `unlimited`. */
export interface AccessRequest {
  readonly allowCreate?: boolean | undefined;
  readonly maxSize?: string | undefined;
  readonly totalSize?: string | undefined;
}

function limit(option: string, text: string | undefined, before: number | undefined): number | undefined {
  if (text === undefined) return before;
  return text.toLowerCase() === 'unlimited' ? undefined : parseSize(option, text);
}

function merge(before: Access, asked: AccessRequest): Access {
  const maxSizeBytes = limit('volume-maxsize', asked.maxSize, before.maxSizeBytes);
  const totalSizeBytes = limit('volume-totalsize', asked.totalSize, before.totalSizeBytes);
  if (maxSizeBytes !== undefined && totalSizeBytes !== undefined && maxSizeBytes > totalSizeBytes) {
    throw new VolumeError('invalid', 'volume-maxsize is more than volume-totalsize');
  }
  return {
    allowCreate: asked.allowCreate ?? before.allowCreate,
    ...(maxSizeBytes === undefined ? {} : { maxSizeBytes }),
    ...(totalSizeBytes === undefined ? {} : { totalSizeBytes }),
  };
}

/** Gives a group rights on a datastore that it has no entry for. Pure. @throws VolumeError `exists`, `invalid`, `not_found`. */
export function addAccess(
  rules: Rules,
  name: string,
  datastore: string,
  asked: AccessRequest,
  known: readonly string[],
): Rules {
  requireDatastore(datastore, known);
  if (findGroup(rules, name).access[datastore]) {
    throw new VolumeError('exists', `vmgroup ${name} has access to ${datastore} already: use "access set"`);
  }
  const access = merge({ allowCreate: false }, asked);
  return changeGroup(rules, name, (group) => ({
    ...group,
    access: { ...group.access, [datastore]: access },
  }));
}

function unknownAccess(name: string, datastore: string): VolumeError {
  return new VolumeError('not_found', `vmgroup ${name} has no access entry for ${datastore}`);
}

/** Changes what is named of an entry; limits below what is in use only stop further growth. Pure. */
export function setAccess(rules: Rules, name: string, datastore: string, asked: AccessRequest): Rules {
  if (asked.allowCreate === undefined && asked.maxSize === undefined && asked.totalSize === undefined) {
    throw new VolumeError('invalid', `vmgroup ${name}: nothing to change`);
  }
  const before = findGroup(rules, name).access[datastore];
  if (!before) throw unknownAccess(name, datastore);
  const access = merge(before, asked);
  return changeGroup(rules, name, (group) => ({
    ...group,
    access: { ...group.access, [datastore]: access },
  }));
}

/** Takes an entry away. Pure. @throws VolumeError `invalid` for the default datastore, `not_found`. */
export function removeAccess(rules: Rules, name: string, datastore: string): Rules {
  const group = findGroup(rules, name);
  if (!group.access[datastore]) throw unknownAccess(name, datastore);
  if (group.id !== defaultGroup && datastore === group.defaultDatastore) {
    throw new VolumeError(
      'invalid',
      `${datastore} is the default datastore of vmgroup ${name}; give it another one first`,
    );
  }
  const { [datastore]: _gone, ...access } = group.access;
  return changeGroup(rules, name, (one) => ({ ...one, access }));
}

const policyNameForm = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,79}$/;

/** Pure. @throws VolumeError `exists`, `invalid`. */
export function createPolicy(rules: Rules, name: string, content: string): Rules {
  if (!policyNameForm.test(name)) {
    throw new VolumeError(
      'invalid',
      `policy name "${name}" is not possible: up to 80 letters, digits, "_", ".", "-"`,
    );
  }
  if (content.trim() === '') throw new VolumeError('invalid', `policy ${name}: the content is empty`);
  if (Object.hasOwn(rules.policies, name)) throw new VolumeError('exists', `policy ${name} exists already`);
  return { ...rules, policies: { ...rules.policies, [name]: { content } } };
}

function requirePolicy(rules: Rules, name: string): void {
  if (Object.hasOwn(rules.policies, name)) return;
  const there = Object.keys(rules.policies).join(', ') || 'none';
  throw new VolumeError('not_found', `policy ${name} does not exist; there are: ${there}`);
}

/** Pure. @throws VolumeError `not_found`, `invalid`. */
export function updatePolicy(rules: Rules, name: string, content: string): Rules {
  requirePolicy(rules, name);
  if (content.trim() === '') throw new VolumeError('invalid', `policy ${name}: the content is empty`);
  return { ...rules, policies: { ...rules.policies, [name]: { content } } };
}

/** Pure. @throws VolumeError `not_found`, `busy` naming volumes that have it. */
export function removePolicy(rules: Rules, name: string, usedBy: readonly string[]): Rules {
  requirePolicy(rules, name);
  if (usedBy.length > 0) {
    const some = usedBy.slice(0, 5).join(', ') + (usedBy.length > 5 ? ', ...' : '');
    throw new VolumeError('busy', `policy ${name} is used by ${usedBy.length} volume(s): ${some}`);
  }
  const { [name]: _gone, ...policies } = rules.policies;
  return { ...rules, policies };
}
