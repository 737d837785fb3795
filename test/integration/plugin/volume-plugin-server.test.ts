import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VolumeError } from '../../../src/lib/errors.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { ManualClock } from '../../../src/lib/manual-clock.ts';
import { callDeadlines, readinessDeadlines } from '../../../src/plugin/protocol.ts';
import type { VolumeDriver } from '../../../src/plugin/volume-driver.ts';
import {
  createVolumePluginServer,
  type VolumePluginServer,
} from '../../../src/plugin/volume-plugin-server.ts';

interface Reply {
  status: number;
  type: string | undefined;
  body: unknown;
}

function recordingDriver(overrides: Partial<VolumeDriver> = {}): { driver: VolumeDriver; calls: string[] } {
  const calls: string[] = [];
  const note = (...parts: unknown[]) => void calls.push(parts.map((part) => JSON.stringify(part)).join(' '));
  const volume = { name: 'v', mountpoint: '/mnt/v', createdAt: '2026-01-02T03:04:05Z' };
  const driver: VolumeDriver = {
    create: async (name, options) => note('create', name, options),
    remove: async (name) => note('remove', name),
    mount: async (name, id) => {
      note('mount', name, id);
      return `/mnt/${name}`;
    },
    unmount: async (name, id) => note('unmount', name, id),
    path: async (name) => `/mnt/${name}`,
    get: async (name) => (name === 'v' ? { ...volume, status: { size: 1 } } : undefined),
    list: async () => [volume],
    ...overrides,
  };
  return { driver, calls };
}

describe('the volume protocol on a socket', () => {
  let dir: string;
  let socketPath: string;
  let server: VolumePluginServer | undefined;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'plugin-'));
    socketPath = join(dir, 'p.sock');
  });
  afterEach(async () => {
    await server?.close();
    server = undefined;
    await rm(dir, { recursive: true });
  });

  const start = async (driver?: VolumeDriver, short = 400): Promise<VolumePluginServer> => {
    server = createVolumePluginServer({
      ...(driver ? { driver } : {}),
      socket: socketPath,
      log: silentLog,
      scope: 'global',
      deadlines: { ...callDeadlines, Get: short, Mount: short },
      readiness: { ...readinessDeadlines, List: short / 4, Create: short / 4 },
    });
    await server.listen();
    return server;
  };

  /** As the engine calls: POST, no content type. */
  const call = (method: string, body: string | undefined): Promise<Reply> =>
    new Promise((resolve, reject) => {
      const sent = request({ socketPath, path: `/${method}`, method: 'POST' }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            type: response.headers['content-type'],
            body: JSON.parse(text),
          }),
        );
        response.on('error', reject);
      });
      sent.on('error', reject);
      sent.end(body);
    });

  it('activates and tells its scope without a driver', async () => {
    await start();
    expect(await call('Plugin.Activate', undefined)).toEqual({
      status: 200,
      type: 'application/vnd.docker.plugins.v1.2+json',
      body: { Implements: ['VolumeDriver'] },
    });
    expect((await call('VolumeDriver.Capabilities', undefined)).body).toEqual({
      Capabilities: { Scope: 'global' },
    });
  });

  it('never closes an idle connection: the engine would lose the next request, and with it the volume', async () => {
    await start(recordingDriver().driver);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    try {
      const limit = await new Promise<string>((resolve, reject) => {
        const sent = request({ socketPath, path: '/Plugin.Activate', method: 'POST', agent }, (response) => {
          response.resume().once('end', () => resolve(String(response.headers['keep-alive'] ?? 'none')));
        });
        sent.once('error', reject).end();
      });
      // Node's server names the time after which it closes what is idle, when it has one.
      expect(limit).toBe('none');
    } finally {
      agent.destroy();
    }
  });

  it('passes every call on and encodes its answer', async () => {
    const { driver, calls } = recordingDriver();
    await start(driver);
    const bodies = [
      await call('VolumeDriver.Create', '{"Name":"v","Opts":{"size":"1gb"}}'),
      await call('VolumeDriver.Create', '{"Name":"w","Opts":null}'),
      await call('VolumeDriver.Mount', '{"Name":"v","ID":"abc"}'),
      await call('VolumeDriver.Path', '{"Name":"v"}'),
      await call('VolumeDriver.Get', '{"Name":"v"}'),
      await call('VolumeDriver.List', '{}'),
      await call('VolumeDriver.Unmount', '{"Name":"v","ID":"abc"}'),
      await call('VolumeDriver.Remove', '{"Name":"v"}'),
    ].map((reply) => reply.body);
    const shown = { Name: 'v', Mountpoint: '/mnt/v', CreatedAt: '2026-01-02T03:04:05Z' };
    expect(bodies).toEqual([
      { Err: '' },
      { Err: '' },
      { Mountpoint: '/mnt/v', Err: '' },
      { Mountpoint: '/mnt/v', Err: '' },
      { Volume: { ...shown, Status: { size: 1 } }, Err: '' },
      { Volumes: [shown], Err: '' },
      { Err: '' },
      { Err: '' },
    ]);
    expect(calls).toEqual([
      '"create" "v" {"size":"1gb"}',
      '"create" "w" {}',
      '"mount" "v" "abc"',
      '"unmount" "v" "abc"',
      '"remove" "v"',
    ]);
  });

  it.each(['Create', 'Remove', 'Mount', 'Unmount', 'Path'])(
    'refuses %s with an empty body without doing anything',
    async (method) => {
      const { driver, calls } = recordingDriver();
      await start(driver);
      const reply = await call(`VolumeDriver.${method}`, '');
      expect(reply.status).toBe(400);
      expect(reply.body).toEqual({ Err: expect.stringContaining('nothing was done') });
      expect(calls).toEqual([]);
    },
  );

  it('hangs up on a Get with an empty body, since any error would make the engine forget the volume', async () => {
    await start(recordingDriver().driver);
    await expect(call('VolumeDriver.Get', '')).rejects.toThrow('socket hang up');
  });

  it('answers Get of a volume that certainly does not exist with a null volume and no error', async () => {
    await start(recordingDriver().driver);
    expect((await call('VolumeDriver.Get', '{"Name":"x"}')).body).toEqual({ Volume: null, Err: '' });
  });

  it('tries Get again while the driver does not know, and answers when it does', async () => {
    let asked = 0;
    const { driver } = recordingDriver({
      get: async () => {
        asked += 1;
        if (asked === 1) throw new VolumeError('unavailable', 'etcd is out of reach');
        return { name: 'v', mountpoint: '', createdAt: '2026-01-02T03:04:05Z' };
      },
    });
    await start(driver, 5_000);
    expect((await call('VolumeDriver.Get', '{"Name":"v"}')).body).toMatchObject({ Volume: { Name: 'v' } });
    expect(asked).toBe(2);
  });

  it.each([
    ['fails', async () => Promise.reject(new VolumeError('unavailable', 'etcd is out of reach'))],
    ['hangs', () => new Promise<undefined>(() => undefined)],
  ])('hangs up at the deadline when Get %s', async (_how, get) => {
    await start(recordingDriver({ get }).driver);
    await expect(call('VolumeDriver.Get', '{"Name":"v"}')).rejects.toThrow('socket hang up');
  });

  it('asks a driver that does not know for 15 s, counted from its first answer, then hangs up', async () => {
    const clock = new ManualClock();
    let asked = 0;
    const get = async () => {
      asked += 1;
      if (asked === 1) await clock.sleep(20_000);
      throw new VolumeError('unavailable', 'etcd is out of reach');
    };
    const { driver } = recordingDriver({ get });
    server = createVolumePluginServer({ driver, socket: socketPath, log: silentLog, scope: 'global', clock });
    await server.listen();
    const hungUp = expect(call('VolumeDriver.Get', '{"Name":"v"}')).rejects.toThrow('socket hang up');
    while (asked === 0) await delay(1);
    await clock.advance(20_000);
    await clock.advance(12_000);
    const soFar = asked;
    expect(soFar).toBeGreaterThan(5);
    await clock.advance(3_000);
    expect(asked).toBeGreaterThan(soFar);
    await hungUp;
  });

  it("answers with the driver's own words when a call fails", async () => {
    const { driver } = recordingDriver({
      list: async () => {
        throw new VolumeError('unavailable', 'no manager answers');
      },
      unmount: async () => {
        throw new VolumeError('busy', 'volume v: still in use');
      },
    });
    await start(driver);
    expect((await call('VolumeDriver.List', '{}')).body).toEqual({ Err: 'no manager answers' });
    expect((await call('VolumeDriver.Unmount', '{"Name":"v","ID":"i"}')).body).toEqual({
      Err: 'volume v: still in use',
    });
  });

  it('bounds a call whose driver never ends', async () => {
    await start(recordingDriver({ mount: () => new Promise<string>(() => undefined) }).driver, 100);
    expect((await call('VolumeDriver.Mount', '{"Name":"v","ID":"i"}')).body).toEqual({
      Err: 'Mount v: not finished after 0.1 s',
    });
  });

  it('lets early calls wait for the driver, and says what the start waits for when it takes too long', async () => {
    const started = await start();
    started.setWaitingFor('the managers');
    expect((await call('VolumeDriver.Create', '{"Name":"v"}')).body).toEqual({
      Err: 'the plugin is not ready yet: waiting for the managers',
    });
    const waiting = call('VolumeDriver.Path', '{"Name":"v"}');
    started.attach(recordingDriver().driver);
    expect((await waiting).body).toEqual({ Mountpoint: '/mnt/v', Err: '' });
  });

  it('takes the place of a socket that a killed process left behind', async () => {
    await writeFile(socketPath, '');
    await start(recordingDriver().driver);
    expect((await call('VolumeDriver.Path', '{"Name":"v"}')).status).toBe(200);
  });

  it('answers an unknown path with an error', async () => {
    await start(recordingDriver().driver);
    expect(await call('VolumeDriver.Explode', '{}')).toMatchObject({ status: 404 });
  });
});
