import { createHash } from 'node:crypto';

/** The ports from which volumes take theirs. */
export interface PortRange {
  readonly first: number;
  readonly count: number;
}

/**
 * A volume's ports in the order in which they are tried: from a place given by the name's hash upwards, around the
 * end, each once. So two nodes that create different volumes at once seldom want the same port.
 */
export function* portCandidates(volume: string, range: PortRange): Generator<number> {
  const start = createHash('sha256').update(volume).digest().readUInt32BE(0) % range.count;
  for (let step = 0; step < range.count; step += 1) {
    yield range.first + ((start + step) % range.count);
  }
}

/** The first candidate that is not taken; `undefined` when all are. */
export function freePort(volume: string, range: PortRange, taken: ReadonlySet<number>): number | undefined {
  for (const port of portCandidates(volume, range)) {
    if (!taken.has(port)) return port;
  }
  return undefined;
}
