import type { Condition, Store } from '../../etcd/store.ts';
import { VolumeError } from '../../lib/errors.ts';
import { rulesKeys } from './keys.ts';
import { noRules, type Rules, rulesSchema } from './types.ts';

/** The rules as they are now. */
export interface RulesRead {
  readonly rules: Rules;
  /** Whether anybody ever set any. */
  readonly configured: boolean;
  /** Somebody is changing what depends on volumes, for some ms. */
  readonly locked: boolean;
  /** Holds as long as nobody changes the rules. */
  readonly unchanged: readonly Condition[];
}

/** One read. @throws VolumeError `internal` for rules of a later version, `unavailable`. */
export async function readRules(store: Store): Promise<RulesRead> {
  const { entries } = await store.list(rulesKeys.all);
  const entry = entries.find(({ key }) => key === rulesKeys.document);
  const parsed = rulesSchema.safeParse(entry?.value ?? noRules);
  if (!parsed.success) {
    throw new VolumeError(
      'internal',
      `${rulesKeys.document} holds rules that this version does not understand`,
      {
        cause: parsed.error,
      },
    );
  }
  return {
    rules: parsed.data,
    configured: entry !== undefined,
    locked: entries.some(({ key }) => key === rulesKeys.lock),
    unchanged: [
      { key: rulesKeys.document, modRevision: entry?.modRevision ?? 0 },
      { key: rulesKeys.lock, is: 'absent' },
    ],
  };
}
