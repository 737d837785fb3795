/** What is wrong with a value: a sentence that says what is valid. */
export class BadValue {
  readonly expected: string;
  constructor(expected: string) {
    this.expected = expected;
  }
}

const mb = 1024 * 1024;
const sizeUnits: Readonly<Record<string, number>> = { mb, gb: 1024 * mb, tb: 1024 * 1024 * mb };

/** `10gb` in bytes. */
export function parseSize(text: string): number | BadValue {
  const match = /^([1-9]\d{0,8})(mb|gb|tb)$/i.exec(text);
  const bytes = Number(match?.[1]) * (sizeUnits[match?.[2]?.toLowerCase() ?? ''] ?? Number.NaN);
  return Number.isSafeInteger(bytes) ? bytes : new BadValue('a number and mb, gb or tb, for example 10gb');
}

/** A user or group ID. */
export function parseId(text: string): number | BadValue {
  const id = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  // The largest value means "no change" to chown.
  return id < 0xffff_ffff ? id : new BadValue('a number from 0 to 4294967294');
}

/** Permission bits, octal as chmod takes them. */
export function parseMode(text: string): number | BadValue {
  return /^[0-7]{3,4}$/.test(text)
    ? Number.parseInt(text, 8)
    : new BadValue('permission bits in octal, for example 0770');
}

const durationUnits: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** `30s` in ms, within limits. */
export function parseDuration(text: string, least: string, most: string): number | BadValue {
  const ms = durationMs(text);
  const wrong = new BadValue(`a time from ${least} to ${most} with unit ms, s, m or h`);
  return ms >= durationMs(least) && ms <= durationMs(most) ? ms : wrong;
}

function durationMs(text: string): number {
  const match = /^(\d{1,9})(ms|s|m|h)$/.exec(text);
  return Number(match?.[1]) * (durationUnits[match?.[2] ?? ''] ?? Number.NaN);
}
