/**
 * A signal that is aborted when this process is asked to end, so that it can clean up first. Asked a second time it
 * ends at once.
 */
export function abortWhenInterrupted(): AbortSignal {
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // Not "once": when no listener is left, execa, which ends its children on a signal, sends it to this process again,
    // which then dies before it has cleaned up.
    process.on(signal, () => {
      if (abort.signal.aborted) process.exit(130);
      abort.abort(new Error(`interrupted by ${signal}`));
    });
  }
  return abort.signal;
}
