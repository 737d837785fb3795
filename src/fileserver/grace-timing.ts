/** When the kernel's NFS client asks again after "in grace", in ms after its first request: 0.1 s, doubled each time. */
const asksAgain = [100, 300, 700, 1_500, 3_100, 6_300] as const;
/** A little later than ganesha's look, so that it is over. */
const slackMs = 100;
/** Reads and writes of open files need not wait for the end of grace: no longer than this are they held up for it. */
const mostMs = 1_000;

/** How often ganesha looks whether all have reclaimed, in ms: every half lease in whole seconds, every 10 s at most. */
export function graceLookMs(leaseSeconds: number): number {
  return leaseSeconds < 20 ? Math.floor(leaseSeconds / 2) * 1_000 : 10_000;
}

/**
 * ms from ganesha's start until its clients should come, so that they ask again just after grace has ended and not long
 * after: they wait twice as long each time. With a lease of 7 s grace ends 3 s after the start, and a client that came at once
 * asks after 3.1 s; with one of 9 s it ends after 4 s, and who came at once would ask only after 6.3 s.
 */
export function holdBackMs(leaseSeconds: number): number {
  const over = graceLookMs(leaseSeconds) + slackMs;
  const last = asksAgain.findLast((ms) => ms <= over) ?? over;
  return over - last <= mostMs ? over - last : 0;
}
