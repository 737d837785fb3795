/** What a series of measurements came to. */
export interface Summary {
  readonly runs: number;
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** Median and range of a series. @throws RangeError when it is empty. */
export function summarise(values: readonly number[]): Summary {
  const sorted = [...values].sort((a, b) => a - b);
  const { length } = sorted;
  const middle = [sorted[Math.floor((length - 1) / 2)], sorted[Math.ceil((length - 1) / 2)]];
  const [least, most] = [sorted[0], sorted[length - 1]];
  if (least === undefined || most === undefined) throw new RangeError('nothing was measured');
  const median = middle.reduce<number>((total, one) => total + (one ?? 0), 0) / 2;
  return { runs: length, median, least, most };
}
