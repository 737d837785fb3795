import {
  ClientClosedError,
  EtcdLeaseInvalidError,
  EtcdPermissionDeniedError,
  GRPCAlreadyExistsError,
  GRPCDeadlineExceededError,
  GRPCFailedPreconditionError,
  GRPCGenericError,
  GRPCInvalidArgumentError,
  GRPCNotFoundError,
  GRPCNotImplementedError,
  GRPCOutOfRangeError,
  GRPCResourceExhastedError,
  GRPCUnauthenticatedError,
} from 'etcd3';
import { VolumeError } from '../lib/errors.ts';

/** No connection to a member: whatever was asked was certainly not done. */
export class NotConnected extends Error {
  override name = 'NotConnected';
}

/**
 * What a failed call means for the next step.
 * - `not-done`: certainly without effect; another member may be asked at once.
 * - `unknown`: it may have happened, or may happen yet; only calls that can be repeated are.
 * - `answer`: the cluster answered, and will answer the same again.
 */
export type Failure = 'not-done' | 'unknown' | 'answer';

/**
 * etcd sends these as plain text under the one code "unavailable"; they all are refusals before anything was
 * proposed. Texts of etcd 3.4 and 3.5, `api/v3rpc/rpctypes/error.go`; the last two are grpc-js's own.
 */
const refusedBeforehand = [
  'etcdserver: no leader',
  'etcdserver: rpc not supported for learner',
  'etcdserver: not capable',
  'etcdserver: too many requests',
  'etcdserver: unhealthy cluster',
  'No connection established',
  'Channel closed before call started',
];

/** Typed refusals: the cluster understood and said no. */
const refusals = [
  EtcdLeaseInvalidError,
  EtcdPermissionDeniedError,
  GRPCUnauthenticatedError,
  GRPCInvalidArgumentError,
  GRPCNotFoundError,
  GRPCAlreadyExistsError,
  GRPCFailedPreconditionError,
  GRPCOutOfRangeError,
  GRPCNotImplementedError,
];

function text(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Sorts the error of one attempt. */
export function failureOf(thrown: unknown): Failure {
  // A client that was replaced between being chosen and being asked has sent nothing either.
  if (thrown instanceof NotConnected || thrown instanceof ClientClosedError) return 'not-done';
  if (thrown instanceof VolumeError || refusals.some((kind) => thrown instanceof kind)) return 'answer';
  const message = text(thrown);
  if (refusedBeforehand.some((known) => message.includes(known))) return 'not-done';
  if (message.includes('mvcc: database space exceeded')) return 'answer';
  // All that is left is loss of contact, "request timed out", "leader changed" and the like.
  return thrown instanceof GRPCGenericError || message.includes('etcdserver:') ? 'unknown' : 'answer';
}

/** The final error of a call as the project's own; `what` says what was asked, for humans. */
export function translate(thrown: unknown, what: string): VolumeError {
  if (thrown instanceof VolumeError) return thrown;
  const message = `${what}: ${text(thrown)}`;
  const options = { cause: thrown };
  if (thrown instanceof EtcdLeaseInvalidError) {
    return new VolumeError('not_found', `${what}: the lease is gone`, options);
  }
  if (text(thrown).includes('database space exceeded')) {
    return new VolumeError('no_space', `${what}: etcd has used up its space quota`, options);
  }
  if (thrown instanceof EtcdPermissionDeniedError || thrown instanceof GRPCUnauthenticatedError) {
    return new VolumeError('denied', message, options);
  }
  if (thrown instanceof GRPCInvalidArgumentError) return new VolumeError('invalid', message, options);
  if (thrown instanceof GRPCFailedPreconditionError) return new VolumeError('conflict', message, options);
  if (thrown instanceof GRPCNotFoundError) return new VolumeError('not_found', message, options);
  if (thrown instanceof GRPCDeadlineExceededError) return new VolumeError('timeout', message, options);
  if (thrown instanceof GRPCResourceExhastedError) return new VolumeError('unavailable', message, options);
  return new VolumeError(failureOf(thrown) === 'answer' ? 'internal' : 'unavailable', message, options);
}
