import { describe, expect, it } from 'vitest';
import { errorTraits, isErrorCode, toVolumeError, VolumeError } from '../../../src/lib/errors.ts';

describe('the table of error codes', () => {
  it('gives every code an own exit code and a status that HTTP counts as an error', () => {
    const traits = Object.values(errorTraits);
    expect(new Set(traits.map((t) => t.exitCode)).size).toBe(traits.length);
    for (const t of traits) {
      expect(t.httpStatus).toBeGreaterThanOrEqual(400);
      expect(t.httpStatus).toBeLessThan(600);
      expect(t.exitCode).toBeGreaterThan(0);
    }
  });

  it('knows its own codes and no others', () => {
    expect(isErrorCode('busy')).toBe(true);
    expect(isErrorCode('toString')).toBe(false);
    expect(isErrorCode(3)).toBe(false);
  });

  it('says retry only where the same request can succeed later', () => {
    expect(new VolumeError('unavailable', 'x').retry).toBe(true);
    expect(new VolumeError('invalid', 'x').retry).toBe(false);
  });
});

describe('toVolumeError', () => {
  it('keeps a VolumeError as it is', () => {
    const error = new VolumeError('busy', 'in use');
    expect(toVolumeError(error)).toBe(error);
  });

  it('keeps the original of a foreign error as its cause', () => {
    const foreign = new TypeError('no');
    const error = toVolumeError(foreign);
    expect(error).toMatchObject({ code: 'internal', message: 'no', cause: foreign });
  });
});
