import type { IKeyValue, IWatchResponse } from 'etcd3';
import type { EtcdConnections } from './etcd-connections.ts';
import type { MemberClient } from './etcd-member-client.ts';
import type { Change, Entry, WatchHandler } from './store.ts';

/** How long the server may take to confirm a new watch, in ms. */
const confirmTimeoutMs = 2_000;

/** The end of the key range that holds all keys beginning with `prefix`. */
export function rangeEnd(prefix: string): Buffer {
  const end = Buffer.from(prefix);
  for (let at = end.length - 1; at >= 0; at -= 1) {
    const byte = end[at] ?? 0xff;
    if (byte < 0xff) {
      end[at] = byte + 1;
      return end.subarray(0, at + 1);
    }
  }
  return Buffer.from([0]);
}

/** A key as etcd sends it. A value that is no JSON becomes `undefined`, which no schema accepts. */
export function entryOf(kv: IKeyValue): Entry {
  return {
    key: kv.key.toString(),
    value: parse(kv.value),
    modRevision: Number(kv.mod_revision),
    createRevision: Number(kv.create_revision),
    lease: kv.lease === '0' ? undefined : kv.lease,
  };
}

function parse(value: Buffer): unknown {
  try {
    return JSON.parse(value.toString());
  } catch {
    return undefined;
  }
}

function changesOf(response: IWatchResponse): Change[] {
  return response.events.map(({ type, kv }) =>
    type === 'Put'
      ? { type: 'put', entry: entryOf(kv) }
      : { type: 'delete', key: kv.key.toString(), revision: Number(kv.mod_revision) },
  );
}

/** What a watch follows. */
export interface WatchOptions {
  readonly connections: EtcdConnections;
  readonly prefix: string;
  readonly fromRevision: number;
  readonly handler: WatchHandler;
  readonly signal: AbortSignal;
}

/**
 * One watch on one stream. It never resumes by itself: whatever ends it is reported, because only a read of the whole
 * prefix is sure to show what was missed.
 */
export async function watchPrefix(options: WatchOptions): Promise<void> {
  const { connections, handler, signal } = options;
  const { generation } = connections;
  const over = new AbortController();
  const end = (reason: Error): void => {
    if (over.signal.aborted) return;
    over.abort();
    if (!signal.aborted) handler.lost(reason);
  };
  let member: MemberClient | undefined;
  try {
    member = await connections.preferred();
    const stream = await member.watch.watch();
    const client = member;
    const timer = setTimeout(() => {
      const late = new Error(`${client.address} did not confirm the watch within ${confirmTimeoutMs} ms`);
      connections.failed(client, late);
      end(late);
    }, confirmTimeoutMs);
    const abort = (): void =>
      end(generation.aborted ? new Error('connections were replaced') : new Error('stopped'));
    over.signal.addEventListener('abort', () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      generation.removeEventListener('abort', abort);
      stream.cancel();
    });
    // Must stay for as long as the stream lives: cancelling makes it emit once more.
    stream.on('error', (error) => {
      if (!over.signal.aborted) connections.failed(client, error);
      end(error);
    });
    stream.on('end', () => end(new Error(`${client.address} ended the watch`)));
    stream.on('data', (response) => {
      if (over.signal.aborted) return;
      clearTimeout(timer);
      if (response.canceled) {
        const compacted = response.compact_revision !== '0';
        const why = compacted ? `revision ${options.fromRevision} is compacted` : response.cancel_reason;
        return end(new Error(`watch cancelled by the server: ${why || 'no reason given'}`));
      }
      if (response.events.length > 0) handler.changes(changesOf(response));
    });
    signal.addEventListener('abort', abort);
    generation.addEventListener('abort', abort);
    if (signal.aborted || generation.aborted) return abort();
    stream.write({
      create_request: {
        key: Buffer.from(options.prefix),
        range_end: rangeEnd(options.prefix),
        start_revision: options.fromRevision,
      },
    });
  } catch (thrown) {
    if (member) connections.failed(member, thrown);
    end(thrown instanceof Error ? thrown : new Error(String(thrown)));
  }
}
