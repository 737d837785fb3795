/** Everything that the chaos runner does to hosts and processes. */
export const eventKinds = [
  'power',
  'cut',
  'freeze',
  'drain',
  'move',
  'dockerd',
  'ganesha',
  'ganesha-hang',
  'file-server',
  'vfile-plugin',
  'vdvs-plugin',
  'vdvs-guard',
  'etcd',
  'manager',
  'vdvs-service',
] as const;
export type EventKind = (typeof eventKinds)[number];

/** Which host: one by its name, or the one that serves the volume at that moment. */
export type Target = { readonly host: string } | { readonly role: 'server' };

/** One event, and what follows it. Times in ms. */
export interface Round {
  readonly number: number;
  /** How long the clients work in peace before it. */
  readonly calmMs: number;
  readonly kind: EventKind;
  readonly target: Target;
  /** How long the host stays as the event left it; 0 for what comes back by itself. */
  readonly holdMs: number;
  /** A second failure while the first is being dealt with, on all hosts but the first's. */
  readonly second?: { readonly kind: EventKind; readonly afterMs: number };
}

interface KindRule {
  /** Range of `holdMs`. */
  readonly holdMs?: readonly [number, number];
  /** Where it makes sense: on the host that serves, on any host, or once each. */
  readonly on: 'server' | 'any' | 'both';
  /** Whether it may be the second failure of a round. */
  readonly second?: true;
}

/**
 * `power`, `cut`, `freeze`, `drain` and `dockerd` take a whole manager away, its member of etcd included. A round has one of
 * them at most, is healed, and the next begins when all is well again: a majority of the managers is there at any time. For the
 * same reason a second failure is never one of those, nor `etcd`.
 */
const rules: Readonly<Record<EventKind, KindRule>> = {
  power: { on: 'both', holdMs: [5_000, 40_000] },
  cut: { on: 'both', holdMs: [3_000, 40_000] },
  freeze: { on: 'both', holdMs: [2_000, 30_000] },
  drain: { on: 'both', holdMs: [5_000, 20_000] },
  dockerd: { on: 'both' },
  move: { on: 'server' },
  ganesha: { on: 'server', second: true },
  'ganesha-hang': { on: 'server' },
  'file-server': { on: 'server', second: true },
  'vfile-plugin': { on: 'any', second: true },
  'vdvs-plugin': { on: 'both', second: true },
  'vdvs-guard': { on: 'both' },
  etcd: { on: 'any' },
  manager: { on: 'any', second: true },
  'vdvs-service': { on: 'any', second: true },
};

/** Whether an event takes a whole host away from the others, in whatever way. */
export function isOutage(kind: EventKind): boolean {
  return rules[kind].holdMs !== undefined || kind === 'dockerd';
}

/** Numbers from 0 to below 1 that depend on the seed alone (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((x, y) => x.at - y.at)
    .map(({ item }) => item);
}

/** Hands out all items in random order, then again in another one: nothing is left out for long. */
function* deck<T>(items: readonly T[], random: () => number): Generator<T, never> {
  for (;;) yield* shuffled(items, random);
}

const calmMs = [3_000, 15_000] as const;
const secondAfterMs = [200, 8_000] as const;
/** Share of the outages that are followed by a second failure. */
const secondShare = 0.3;

/**
 * The rounds of a run, without end: a pure function of the seed, so a longer run begins like a shorter one, and the seed
 * repeats it. Which host serves, and how long recovery takes, is up to the run.
 * @param only kinds to choose from; default all.
 */
export function* planRounds(options: {
  readonly seed: number;
  readonly hosts: readonly string[];
  readonly only?: readonly EventKind[];
}): Generator<Round, never> {
  const { seed, hosts, only = eventKinds } = options;
  const random = seeded(seed);
  const between = ([least, most]: readonly [number, number]): number =>
    Math.round(least + random() * (most - least));
  const events = only.flatMap((kind) => {
    const { on } = rules[kind];
    const server = on === 'any' ? [] : [{ kind, server: true }];
    return on === 'server' ? server : [...server, { kind, server: false }];
  });
  const nextEvent = deck(events, random);
  const nextHost = deck(hosts, random);
  const nextSecond = deck(
    eventKinds.filter((kind) => rules[kind].second),
    random,
  );
  for (let number = 1; ; number++) {
    const { kind, server } = nextEvent.next().value;
    const { holdMs } = rules[kind];
    const second = isOutage(kind) && random() < secondShare;
    yield {
      number,
      calmMs: between(calmMs),
      kind,
      target: server ? { role: 'server' } : { host: nextHost.next().value },
      holdMs: holdMs ? between(holdMs) : 0,
      ...(second ? { second: { kind: nextSecond.next().value, afterMs: between(secondAfterMs) } } : {}),
    };
  }
}

/** What a round does, for humans. */
export function describeRound({ kind, target, holdMs, second }: Round): string {
  const where = 'host' in target ? target.host : 'the server';
  const hold = holdMs > 0 ? ` for ${(holdMs / 1_000).toFixed(1)} s` : '';
  const also = second ? `, ${second.kind} on the others ${(second.afterMs / 1_000).toFixed(1)} s later` : '';
  return `${kind} on ${where}${hold}${also}`;
}

/** About how long a round takes, ms: recovery is a guess that only `--plan` uses. */
export function roughlyMs({ calmMs: calm, kind, holdMs }: Round): number {
  return calm + holdMs + (isOutage(kind) ? 40_000 : 15_000);
}
