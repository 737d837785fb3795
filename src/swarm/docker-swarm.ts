import { Agent } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import Docker from 'dockerode';
import { z } from 'zod';
import { VolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { ask } from './ask-engine.ts';
import {
  configSchema,
  containerSchema,
  infoSchema,
  nodeSchema,
  rawServiceSchema,
  serviceSchema,
  taskSchema,
  volumeSchema,
} from './docker-schemas.ts';
import { renderDockerService, rescaled } from './docker-service-spec.ts';
import type { EngineContainers, EngineVolumes, Swarm } from './swarm.ts';

/** Calls that a volume driver answers: dockerd itself gives its plugins 120 s (create) and 60 s (else). */
const driverCallMs = 115_000;

/** How the engine is reached. */
export interface DockerSwarmParts {
  /** Path of the engine's unix socket. */
  readonly socketPath: string;
  readonly log: Log;
}

/** So often a change of a service is tried when others change it at the same time. */
const mostAttempts = 5;

/** dockerode writes a request's body into its address too, unless query and body are told apart. */
function bodyOnly<T extends object>(
  body: T,
  abortSignal: AbortSignal,
  query: Readonly<Record<string, unknown>> = {},
): T & { abortSignal: AbortSignal } {
  return { _query: query, _body: body, abortSignal } as unknown as T & { abortSignal: AbortSignal };
}

/** Makes success of "it is gone already". */
async function unlessGone(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (thrown) {
    if (!(thrown instanceof VolumeError && thrown.code === 'not_found')) throw thrown;
  }
}

/**
 * The Swarm and the local engine through Docker's API. The API's version is the engine's own newest: engines drop old
 * ones (Docker 29 dropped all below 1.44), and the few fields used here have not changed since 20.10.
 */
export function createDockerSwarm({
  socketPath,
  log,
}: DockerSwarmParts): Swarm & EngineVolumes & EngineContainers {
  // A kept connection would be a dead one after a restart of the engine; a new one to a unix socket costs nothing.
  const options: Docker.DockerOptions & { agent: Agent } = {
    socketPath,
    agent: new Agent({ keepAlive: false }),
  };
  const docker = new Docker(options);
  // The library takes a signal here; its types do not say so.
  const engine = docker as unknown as { info(options: { abortSignal: AbortSignal }): Promise<unknown> };
  const anything = z.unknown();

  const servicesOf = async (label: string, value?: string) => {
    const wanted = value === undefined ? label : `${label}=${value}`;
    const found = await ask(
      { what: `list services with label ${wanted}` },
      z.array(serviceSchema),
      (abortSignal) => docker.listServices({ filters: { label: [wanted] }, abortSignal }),
    );
    // Docker's filters match more than asked for in places (names do); never rely on them alone.
    return found.filter((service) => {
      const has = service.labels[label];
      return value === undefined ? has !== undefined : has === value;
    });
  };

  const findConfig = async (name: string) => {
    const found = await ask({ what: `read config ${name}` }, z.array(configSchema), (abortSignal) =>
      docker.listConfigs({ filters: { name: [name] }, abortSignal }),
    );
    return found.find((config) => config.Spec.Name === name);
  };

  return {
    local: () => ask({ what: 'docker info' }, infoSchema, (abortSignal) => engine.info({ abortSignal })),

    nodes: () =>
      ask({ what: 'list nodes' }, z.array(nodeSchema), (abortSignal) => docker.listNodes({ abortSignal })),

    services: servicesOf,

    tasks: (serviceId) =>
      ask({ what: `list tasks of service ${serviceId}` }, z.array(taskSchema), (abortSignal) =>
        docker.listTasks({ filters: { service: [serviceId] }, abortSignal }),
      ),

    async createService(spec) {
      const created = await ask(
        { what: `create service ${spec.name}`, onConflict: 'exists' },
        z.object({ id: z.string() }),
        (abortSignal) => docker.createService({ ...renderDockerService(spec), abortSignal }),
      );
      log.debug('service created', { service: spec.name, id: created.id });
      return created.id;
    },

    async scaleService(id, replicas, constraints) {
      const service = docker.getService(id);
      for (let attempt = 1; ; attempt += 1) {
        const { Version, Spec } = await ask({ what: `read service ${id}` }, rawServiceSchema, (abortSignal) =>
          service.inspect({ abortSignal }),
        );
        const wanted = rescaled(Spec, replicas, constraints);
        if (isDeepStrictEqual(wanted, Spec)) return;
        try {
          await ask({ what: `scale service ${id} to ${replicas}` }, anything, (abortSignal) =>
            service.update(bodyOnly(wanted, abortSignal, { version: Version.Index })),
          );
          return;
        } catch (thrown) {
          // Somebody changed it between reading and writing: read again.
          const raced = thrown instanceof VolumeError && thrown.code === 'conflict';
          if (!raced || attempt >= mostAttempts) throw thrown;
        }
      }
    },

    removeService: (id) =>
      unlessGone(
        ask({ what: `remove service ${id}` }, anything, (abortSignal) =>
          docker.getService(id).remove({ abortSignal }),
        ),
      ),

    async claimConfig(name, data, labels) {
      const body = { Name: name, Labels: { ...labels }, Data: Buffer.from(data).toString('base64') };
      try {
        await ask({ what: `create config ${name}`, onConflict: 'exists' }, anything, (abortSignal) =>
          docker.createConfig(bodyOnly(body, abortSignal)),
        );
        return data;
      } catch (thrown) {
        if (!(thrown instanceof VolumeError && thrown.code === 'exists')) throw thrown;
      }
      const config = await findConfig(name);
      if (!config) throw new VolumeError('conflict', `config ${name} was removed while it was read`);
      return Buffer.from(config.Spec.Data, 'base64').toString();
    },

    async createVolume(name, driver, options, labels) {
      const body = { Name: name, Driver: driver, DriverOpts: { ...options }, Labels: { ...labels } };
      await ask(
        { what: `create volume ${name}`, timeoutMs: driverCallMs, onConflict: 'exists' },
        anything,
        (abortSignal) => docker.createVolume(bodyOnly(body, abortSignal)),
      );
    },

    removeVolume: (name) =>
      unlessGone(
        ask(
          { what: `remove volume ${name}`, timeoutMs: driverCallMs, onConflict: 'busy' },
          anything,
          (abortSignal) => docker.getVolume(name).remove({ abortSignal }),
        ),
      ),

    async inspectVolume(name) {
      try {
        return await ask({ what: `inspect volume ${name}` }, volumeSchema, (abortSignal) =>
          docker.getVolume(name).inspect({ abortSignal }),
        );
      } catch (thrown) {
        if (thrown instanceof VolumeError && thrown.code === 'not_found') return undefined;
        throw thrown;
      }
    },

    async volumesInUse() {
      const containers = await ask({ what: 'list containers' }, z.array(containerSchema), (abortSignal) =>
        docker.listContainers({ abortSignal }),
      );
      return containers.flatMap((container) =>
        (container.Mounts ?? []).flatMap((mount) =>
          mount.Type === 'volume' && mount.Name && mount.Driver
            ? [
                {
                  containerId: container.Id,
                  driver: mount.Driver.replace(/:latest$/, ''),
                  volume: mount.Name,
                },
              ]
            : [],
        ),
      );
    },
  };
}
