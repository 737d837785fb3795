import { VolumeError } from '../lib/errors.ts';

const units: Readonly<Record<string, number>> = { mb: 2 ** 20, gb: 2 ** 30, tb: 2 ** 40 };

/** Largest disk: what a vSphere virtual disk can be, so that every backend can hold what one accepts. */
export const maxSizeBytes = 62 * 2 ** 40;

/**
 * A size as users write it: a whole number and `mb`, `gb` or `tb`, in any case.
 * @returns bytes.
 * @throws VolumeError `invalid`, naming the option and what is valid.
 */
export function parseSize(option: string, text: string): number {
  const match = /^(\d+)(mb|gb|tb)$/i.exec(text);
  const unit = units[match?.[2]?.toLowerCase() ?? ''];
  const bytes = Number(match?.[1]) * (unit ?? Number.NaN);
  if (!Number.isFinite(bytes)) {
    throw new VolumeError(
      'invalid',
      `option ${option}: "${text}" is not a size: use a whole number and mb, gb or tb, for example 10gb`,
    );
  }
  if (bytes <= 0 || bytes > maxSizeBytes) {
    throw new VolumeError('invalid', `option ${option}: "${text}" is not possible: from 1mb to 62tb`);
  }
  return bytes;
}

/** Bytes as users write them, in the largest unit that keeps the number whole. */
export function renderSize(bytes: number): string {
  for (const [unit, factor] of Object.entries(units).reverse()) {
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return `${(bytes / 2 ** 20).toFixed(1)}mb`;
}
