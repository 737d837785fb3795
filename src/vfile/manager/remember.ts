import type { VolumeError } from '../../lib/errors.ts';
import type { Observed, Step, VolumeMemory } from './observed.ts';

/** What is remembered after a look: only since when things are as they are. Pure. */
export function remember(o: Omit<Observed, 'memory'>, memory: VolumeMemory): VolumeMemory {
  const { now, claim } = o;
  const used = o.mounts.length > 0;
  const unserved = used && !o.server;
  const revision = o.move?.modRevision;
  const known = memory.move?.revision === revision ? memory.move : undefined;
  const { served: before } = memory;
  const served =
    o.server && (before?.epoch === o.server.epoch ? before : { epoch: o.server.epoch, since: now });
  const lastClaim =
    claim && claim.epoch !== memory.lastClaim?.claim.epoch ? { claim, since: now } : memory.lastClaim;
  return {
    ...(used ? {} : { unusedSince: memory.unusedSince ?? now }),
    ...(unserved ? { unservedSince: memory.unservedSince ?? now } : {}),
    ...(served ? { served } : {}),
    ...(memory.scaledAt === undefined ? {} : { scaledAt: memory.scaledAt }),
    ...(unserved && !claim ? { claimMissingSince: memory.claimMissingSince ?? now } : {}),
    ...(lastClaim && used ? { lastClaim } : {}),
    ...(memory.replaced && unserved ? { replaced: memory.replaced } : {}),
    ...(revision === undefined ? {} : { move: known ?? { revision, since: now } }),
    ...(memory.failed ? { failed: memory.failed } : {}),
  };
}

/** What is remembered after a step was done. */
export function rememberDone(memory: VolumeMemory, step: Step, now: number): VolumeMemory {
  const { failed: _failed, ...kept } = memory;
  if (step.do === 'scaleService') return { ...kept, scaledAt: now };
  if (step.do !== 'replaceTask') return kept;
  const move = kept.move ? { move: { ...kept.move, orderedAt: now } } : {};
  return { ...kept, ...move, replaced: { at: now, taskId: step.taskId } };
}

/** What is remembered after a look or a step failed. */
export function rememberFailed(
  memory: VolumeMemory,
  step: string,
  { message, retry }: VolumeError,
): VolumeMemory {
  const attempts = memory.failed?.step === step ? memory.failed.attempts + 1 : 1;
  return { ...memory, failed: { step, message, attempts, passing: retry } };
}

/** How long to wait before the next try, ms: from 100 ms, doubling; longer at most for what nobody waits for. */
export function backoffMs(memory: VolumeMemory): number {
  const most = memory.unservedSince === undefined ? 10_000 : 1_000;
  return Math.min(most, 100 * 2 ** Math.min(16, (memory.failed?.attempts ?? 1) - 1));
}
