import type { ICompare, IRequestOp, ITxnResponse } from 'etcd3';
import { toVolumeError, VolumeError } from '../lib/errors.ts';
import type { EtcdConnections } from './etcd-connections.ts';
import { failureOf } from './etcd-errors.ts';
import { rangeEnd } from './etcd-watch.ts';
import type { Condition, Operation, TxnResult } from './store.ts';

function compare(condition: Condition): ICompare {
  const key = Buffer.from(condition.key);
  if ('is' in condition) {
    return {
      key,
      target: 'Create',
      result: condition.is === 'absent' ? 'Equal' : 'Greater',
      create_revision: 0,
    };
  }
  return 'modRevision' in condition
    ? { key, target: 'Mod', result: 'Equal', mod_revision: condition.modRevision }
    : { key, target: 'Create', result: 'Equal', create_revision: condition.createRevision };
}

function request(operation: Operation): IRequestOp {
  if ('put' in operation) {
    const value = Buffer.from(JSON.stringify(operation.value));
    const lease = operation.lease === undefined ? {} : { lease: operation.lease };
    return { request_put: { key: Buffer.from(operation.put), value, ...lease } };
  }
  if ('delete' in operation) return { request_delete_range: { key: Buffer.from(operation.delete) } };
  const prefix = operation.deletePrefix;
  return { request_delete_range: { key: Buffer.from(prefix), range_end: rangeEnd(prefix) } };
}

/** What the operation leaves behind, as a read: how it is found out whether it was done. */
function trace(operation: Operation): IRequestOp {
  if ('put' in operation) return { request_range: { key: Buffer.from(operation.put) } };
  if ('delete' in operation) return { request_range: { key: Buffer.from(operation.delete) } };
  const prefix = operation.deletePrefix;
  return { request_range: { key: Buffer.from(prefix), range_end: rangeEnd(prefix) } };
}

/**
 * Whether one of the conditions cannot hold any more once the operations were done: then sending the transaction again can
 * never do it twice. Pure.
 */
export function isSelfFencing(when: readonly Condition[], then: readonly Operation[]): boolean {
  return when.some((condition) => {
    const { key } = condition;
    const put = then.some((op) => 'put' in op && op.put === key);
    const gone = then.some((op) =>
      'delete' in op ? op.delete === key : 'deletePrefix' in op && key.startsWith(op.deletePrefix),
    );
    if ('is' in condition) return condition.is === 'absent' ? put : gone;
    if ('modRevision' in condition) return condition.modRevision > 0 ? put || gone : put;
    return condition.createRevision > 0 ? gone : put;
  });
}

/** The revision at which exactly these operations were done, if what is there now shows that they were. */
function doneAt(response: ITxnResponse, then: readonly Operation[]): number | undefined {
  const revisions = new Set<string>();
  for (const [index, op] of then.entries()) {
    const kvs = response.responses[index]?.response_range?.kvs ?? [];
    const [kv] = kvs;
    if (!('put' in op)) {
      if (kvs.length > 0) return undefined;
    } else {
      const same = kv && kv.value.toString() === JSON.stringify(op.value) && kv.lease === (op.lease ?? '0');
      if (!same) return undefined;
      revisions.add(kv.mod_revision);
    }
  }
  if (revisions.size > 1) return undefined;
  const [revision] = revisions;
  return Number(revision ?? response.header.revision);
}

/**
 * Sends a transaction. When an attempt ends without an answer (the member died with it, or the leader did) a self-fencing
 * transaction is sent again elsewhere; that one, if refused, also reads what is there, and if that is exactly what was to be
 * written, the first attempt was the one that did it. All else whose outcome is not known is thrown as `unavailable`.
 */
export async function sendTxn(
  connections: EtcdConnections,
  when: readonly Condition[],
  then: readonly Operation[],
): Promise<TxnResult> {
  const keys = then.map((op) => ('put' in op ? op.put : 'delete' in op ? op.delete : op.deletePrefix));
  const what = `write ${keys.join(', ')}`;
  const body = { compare: when.map(compare), success: then.map(request) };
  const inDoubt = { failure: then.map(trace) };
  const sent = { uncertain: false };
  const response = await connections
    .call({ what, repeatable: isSelfFencing(when, then) }, async (member, options) => {
      try {
        return await member.kv.txn(sent.uncertain ? { ...body, ...inDoubt } : body, options);
      } catch (thrown) {
        if (failureOf(thrown) === 'unknown') sent.uncertain = true;
        throw thrown;
      }
    })
    .catch((thrown: unknown) => {
      const { code, message } = toVolumeError(thrown);
      if (!sent.uncertain) throw thrown;
      throw new VolumeError(code, `${message}; whether it was done is not known`, { cause: thrown });
    });
  const revision = Number(response.header.revision);
  if (response.succeeded || !sent.uncertain) return { done: response.succeeded, revision };
  const earlier = doneAt(response, then);
  if (earlier !== undefined) return { done: true, revision: earlier };
  throw new VolumeError(
    'unavailable',
    `${what}: sent again after an attempt whose outcome is not known, and refused`,
  );
}
