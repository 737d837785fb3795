/** What kind of failure this is; decides retry, HTTP status, exit code and how the text reaches Docker. */
export type ErrorCode =
  | 'invalid'
  | 'not_found'
  | 'exists'
  | 'busy'
  | 'conflict'
  | 'denied'
  | 'no_space'
  | 'unavailable'
  | 'timeout'
  | 'internal';

interface CodeTraits {
  /** Whether doing the same again later may succeed without anybody changing the request. */
  readonly retry: boolean;
  readonly httpStatus: number;
  readonly exitCode: number;
}

/** The one table that maps codes to behaviour; a unit test holds it complete. */
export const errorTraits: Readonly<Record<ErrorCode, CodeTraits>> = Object.freeze({
  invalid: { retry: false, httpStatus: 400, exitCode: 2 },
  not_found: { retry: false, httpStatus: 404, exitCode: 3 },
  exists: { retry: false, httpStatus: 409, exitCode: 4 },
  busy: { retry: true, httpStatus: 423, exitCode: 5 },
  conflict: { retry: true, httpStatus: 412, exitCode: 6 },
  denied: { retry: false, httpStatus: 403, exitCode: 7 },
  no_space: { retry: false, httpStatus: 507, exitCode: 8 },
  unavailable: { retry: true, httpStatus: 503, exitCode: 9 },
  timeout: { retry: true, httpStatus: 504, exitCode: 10 },
  internal: { retry: false, httpStatus: 500, exitCode: 1 },
});

const codes = new Set<string>(Object.keys(errorTraits));

/** Narrows a string from outside (an HTTP body, say) to a known code. */
export function isErrorCode(text: unknown): text is ErrorCode {
  return typeof text === 'string' && codes.has(text);
}

/**
 * The only error class of the project. The message is for humans: what was asked, what is wrong, what to do.
 * Adapters translate foreign errors into it at their edge and keep the original as `cause`.
 */
export class VolumeError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'VolumeError';
    this.code = code;
  }

  /** Whether the same request may succeed later. */
  get retry(): boolean {
    return errorTraits[this.code].retry;
  }
}

/** Any thrown value as a VolumeError; what is not one already becomes `internal`. */
export function toVolumeError(thrown: unknown): VolumeError {
  if (thrown instanceof VolumeError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new VolumeError('internal', message, { cause: thrown });
}
