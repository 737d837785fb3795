import type { Store } from '../../etcd/store.ts';
import { VolumeError } from '../../lib/errors.ts';
import { parseVdvsKey, vdvsKeys } from '../keys.ts';
import { renderVolumeName } from '../names.ts';
import { movedNodes } from '../rules/group-changes.ts';
import { groupOfName, plainName } from '../rules/group-names.ts';
import type { Rules } from '../rules/types.ts';
import { attachmentSchema } from '../types.ts';

/**
 * A node with volumes attached keeps its group: under another one it would not find them again. Volumes below vFile's do not
 * count, they have the same name everywhere. To be asked while nothing can be attached.
 * @throws VolumeError `busy` naming the hosts and volumes.
 */
export async function refuseMoves(store: Store, before: Rules, after: Rules): Promise<void> {
  const { entries } = await store.list(vdvsKeys.attachments);
  const held = entries.flatMap(({ key, value }) => {
    const id = parseVdvsKey(key);
    const parsed = attachmentSchema.safeParse(value);
    if (!id || !parsed.success || groupOfName(id.name) === undefined) return [];
    const volume = renderVolumeName({ ...id, name: plainName(id.name) });
    return [{ node: parsed.data.node, host: parsed.data.host, volume }];
  });
  const moved = new Set(movedNodes(before, after, [...new Set(held.map((one) => one.node))]));
  const hindered = held.filter((one) => moved.has(one.node));
  if (hindered.length === 0) return;
  const what = hindered.map(({ host, volume }) => `${volume} on ${host}`).join(', ');
  throw new VolumeError('busy', `hosts with volumes attached cannot change their vmgroup: ${what}`);
}
