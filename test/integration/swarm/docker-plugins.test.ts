import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/lib/clock.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { createDockerPlugins, pluginReference } from '../../../src/swarm/docker-plugins.ts';
import type { EnginePlugins } from '../../../src/swarm/engine-plugins.ts';
import { type Answer, type SeenRequest, startFakeEngine } from './fake-engine.ts';

const inspected = {
  Name: 'vdvs:latest',
  Enabled: true,
  Settings: { Env: ['VFILE_VERSION=1.0.0', 'VDVS_LEASE_MS=9000', 'X=a=b'] },
  Config: {
    Env: [
      { Name: 'VFILE_VERSION', Value: '2.0.0', Settable: null },
      { Name: 'VDVS_LEASE_MS', Value: '', Settable: ['value'] },
    ],
    Mounts: [
      { Name: 'swarm', Source: '/data/swarm', Settable: ['source'] },
      { Name: 'dev', Source: '/dev', Settable: null },
    ],
  },
};

describe("the engine's managed plugins", () => {
  let folder: string;
  let answers: Map<string, Answer>;
  let seen: SeenRequest[];
  let stop: () => Promise<void>;
  let plugins: EnginePlugins;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fake-engine-'));
    answers = new Map();
    const socketPath = join(folder, 'docker.sock');
    ({ seen, stop } = await startFakeEngine(socketPath, answers));
    plugins = createDockerPlugins({ socketPath, clock: systemClock, log: silentLog });
  });
  afterEach(async () => {
    await stop();
    await rm(folder, { recursive: true });
  });
  const ok = (request: string, text = ''): void => void answers.set(request, { status: 200, text });

  it('are read with the version of their content, not the one an upgrade has kept', async () => {
    ok('GET /plugins/vdvs:latest/json', JSON.stringify(inspected));
    expect(await plugins.inspect('vdvs:latest')).toEqual({
      name: 'vdvs:latest',
      enabled: true,
      version: '2.0.0',
      settings: {
        VFILE_VERSION: '1.0.0',
        VDVS_LEASE_MS: '9000',
        X: 'a=b',
        'swarm.source': '/data/swarm',
        'dev.source': '/dev',
      },
      settable: ['VDVS_LEASE_MS', 'swarm.source'],
    });
  });

  it('are undefined when there is none of the name', async () => {
    expect(await plugins.inspect('vdvs:latest')).toBeUndefined();
  });

  it('are installed with exactly the privileges that they ask for', async () => {
    const privileges = [{ Name: 'network', Description: 'd', Value: ['host'] }];
    ok('GET /plugins/privileges', JSON.stringify(privileges));
    ok('POST /plugins/pull', '{"status":"Downloading"}\n{"status":"Complete"}\n');
    await plugins.install('vdvs:latest', 'vfile/vdvs:1');
    expect(seen).toEqual([
      expect.objectContaining({ query: { remote: 'docker.io/vfile/vdvs:1' } }),
      {
        method: 'POST',
        path: '/plugins/pull',
        query: { remote: 'docker.io/vfile/vdvs:1', name: 'vdvs:latest' },
        body: privileges,
      },
    ]);
  });

  it('report a pull that fails after its answer has begun', async () => {
    ok('GET /plugins/privileges', 'null');
    ok('POST /plugins/vdvs:latest/upgrade', '{"status":"Downloading"}\n{"error":"manifest unknown"}\n');
    await expect(plugins.upgrade('vdvs:latest', 'r.test:5000/vdvs:1')).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('manifest unknown'),
    });
  });

  it('are set, enabled and disabled', async () => {
    for (const what of ['set', 'enable', 'disable']) ok(`POST /plugins/vdvs:latest/${what}`);
    await plugins.configure('vdvs:latest', { VDVS_LEASE_MS: '9000', 'swarm.source': '/x' });
    await plugins.enable('vdvs:latest');
    await plugins.disable('vdvs:latest');
    expect(seen).toEqual([
      expect.objectContaining({
        path: '/plugins/vdvs:latest/set',
        body: ['VDVS_LEASE_MS=9000', 'swarm.source=/x'],
      }),
      expect.objectContaining({ path: '/plugins/vdvs:latest/enable', query: { timeout: '150' } }),
      expect.objectContaining({ path: '/plugins/vdvs:latest/disable', query: { force: '1' } }),
    ]);
  });

  it('pass on why the engine could not start one', async () => {
    answers.set('POST /plugins/vdvs:latest/enable', {
      status: 500,
      text: '{"message":"dial unix: no such file"}',
    });
    await expect(plugins.enable('vdvs:latest')).rejects.toMatchObject({
      message: 'enable plugin vdvs:latest: dial unix: no such file',
    });
  });

  it('know where the engine keeps its data', async () => {
    ok('GET /info', '{"DockerRootDir":"/data/docker"}');
    expect(await plugins.dataRoot()).toBe('/data/docker');
  });
});

describe("an image's full name", () => {
  it.each([
    ['vfile/vdvs:1', 'docker.io/vfile/vdvs:1'],
    ['vdvs', 'docker.io/library/vdvs:latest'],
    ['registry.test/vfile/vdvs:1', 'registry.test/vfile/vdvs:1'],
    ['registry.test:5000/vdvs', 'registry.test:5000/vdvs:latest'],
    ['localhost/vdvs:2', 'localhost/vdvs:2'],
  ])('of %s is %s', (image, full) => {
    expect(pluginReference(image)).toBe(full);
  });
});
