import type { Mirror } from './mirror.ts';

/** Follows several mirrors as one: what is handed to the answer is called after each change of any, until its own answer is called. */
export function followAll(...mirrors: readonly Mirror[]): (callback: () => void) => () => void {
  return (callback) => {
    const stops = mirrors.map((mirror) => mirror.onChange(callback));
    return () => {
      for (const stop of stops) stop();
    };
  };
}
