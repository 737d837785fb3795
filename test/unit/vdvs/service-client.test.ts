import { beforeEach, describe, expect, it } from 'vitest';
import { VolumeError } from '../../../src/lib/errors.ts';
import { ManualClock } from '../../../src/lib/manual-clock.ts';
import type { JsonAnswer, JsonRequest } from '../../../src/vdvs/https-json.ts';
import { createServiceClient, type ServiceClient } from '../../../src/vdvs/service-client.ts';

const id = { datastore: 'ds', name: 'a@b' };
const ok: JsonAnswer = { status: 200, body: {} };
const list: JsonAnswer = { status: 200, body: { volumes: [] } };
const failed = (code: string, message: string): JsonAnswer => ({ status: 500, body: { code, message } });

describe('the client of the vDVS service', () => {
  let clock: ManualClock;
  let asked: JsonRequest[];
  let manager: Record<string, (request: JsonRequest) => Promise<JsonAnswer>>;
  let client: ServiceClient;
  const hosts = () => asked.map((request) => request.host);
  const silent = () => new Promise<JsonAnswer>(() => undefined);
  const refuses = async () => Promise.reject(new VolumeError('unavailable', 'connection refused'));

  beforeEach(() => {
    clock = new ManualClock();
    asked = [];
    manager = {};
    client = createServiceClient({
      https: {
        send(request) {
          asked.push(request);
          return manager[request.host]?.(request) ?? refuses();
        },
        close: () => undefined,
      },
      endpoints: async () => ['m1', 'm2', 'm3'].map((host) => ({ host, port: 1 })),
      host: 'here',
      clock,
    });
  });

  it('asks the next manager when one refuses, and that one first from then on', async () => {
    manager = { m2: async () => list };
    await client.list();
    await client.list();
    expect(hosts()).toEqual(['m1', 'm2', 'm2']);
  });

  it('asks the next manager as well when one stays silent, and takes the first answer', async () => {
    manager = { m1: silent, m2: async () => list };
    const answer = client.list();
    await clock.advance(1_400);
    expect(hosts()).toEqual(['m1']);
    await clock.advance(200);
    await answer;
    expect(hosts()).toEqual(['m1', 'm2']);
    expect(asked[0]?.signal.aborted).toBe(true);
  });

  it('asks those that refused again while a silent one keeps it from being sure', async () => {
    let starts = true;
    manager = { m1: silent, m2: () => (starts ? refuses() : Promise.resolve(list)) };
    const answer = client.list();
    await clock.advance(1_600);
    expect(hosts()).toEqual(['m1', 'm2', 'm3']);
    await clock.advance(300);
    expect(hosts()).toEqual(['m1', 'm2', 'm3', 'm2', 'm3']);
    starts = false;
    await clock.advance(300);
    await answer;
    expect(hosts().slice(5)).toEqual(['m2']);
  });

  it('asks one that stayed silent last from then on, until it answers again', async () => {
    manager = { m1: async () => list, m2: async () => list };
    await client.list();
    manager = { m1: silent, m2: async () => list };
    const answer = client.list();
    await clock.advance(1_600);
    await answer;
    manager = { m1: async () => list, m2: refuses };
    await client.list();
    expect(hosts()).toEqual(['m1', 'm1', 'm2', 'm2', 'm3', 'm1']);
    await client.list();
    expect(hosts().slice(6)).toEqual(['m1']);
  });

  it('asks the next manager when one has no contact with the store', async () => {
    manager = { m1: async () => failed('unavailable', 'no quorum'), m2: async () => list };
    await client.list();
    expect(hosts()).toEqual(['m1', 'm2']);
  });

  it('names what each manager said when none is of use', async () => {
    manager = { m1: async () => failed('unavailable', 'no quorum') };
    await expect(client.list()).rejects.toMatchObject({
      code: 'unavailable',
      message: 'no quorum (other vDVS services cannot be reached: connection refused)',
    });
  });

  it('ends at its deadline when all are silent', async () => {
    manager = { m1: silent, m2: silent, m3: silent };
    const refused = expect(client.list()).rejects.toMatchObject({ code: 'unavailable' });
    await clock.advance(12_100);
    await refused;
  });

  it('passes on what the service refuses, without asking others', async () => {
    manager = { m1: async () => failed('busy', 'attached to bob') };
    await expect(client.remove(id)).rejects.toMatchObject({ code: 'busy', message: 'attached to bob' });
    expect(asked.map((request) => `${request.method} ${request.path}`)).toEqual([
      'DELETE /v1/volumes/ds/a%40b',
    ]);
  });

  it('takes "does not exist" for an answer only from the first manager that was asked to remove', async () => {
    manager = { m1: refuses, m2: async () => failed('not_found', 'does not exist') };
    await client.remove(id);
    manager = { m2: async () => failed('not_found', 'does not exist') };
    await expect(client.remove(id)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('knows a volume that does not exist from an answer that does not come', async () => {
    manager = { m1: async () => failed('not_found', 'does not exist') };
    expect(await client.get(id)).toBeUndefined();
    manager = {};
    await expect(client.get(id)).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('waits for a volume in pieces, and names the holder at the end', async () => {
    manager = {
      m1: async (request) => {
        await clock.sleep((request.body as { waitMs: number }).waitMs);
        return failed('busy', 'attached to bob');
      },
    };
    const refused = expect(client.attach(id, '1', 3_000)).rejects.toThrow('attached to bob');
    await clock.advance(3_100);
    await refused;
    expect(asked.length).toBeGreaterThan(2);
    expect(asked.every((request) => (request.body as { waitMs: number }).waitMs <= 1_000)).toBe(true);
  });

  it('refuses an answer that it does not understand', async () => {
    manager = { m1: async () => ok };
    await expect(client.list()).rejects.toThrow('does not understand');
  });
});
