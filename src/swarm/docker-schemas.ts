import { z } from 'zod';
import type { LocalNode, ServiceState, SwarmNode, TaskState } from './swarm.ts';

const labels = z
  .record(z.string(), z.string())
  .nullish()
  .transform((value) => value ?? {});
const wallMs = z.string().transform((text) => {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? 0 : ms;
});
const withoutPort = (address: string): string => address.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
const withoutLatest = (plugin: string): string => plugin.replace(/:latest$/, '');

/** `GET /info`. */
export const infoSchema = z
  .object({
    Name: z.string(),
    Swarm: z.object({
      NodeID: z.string().default(''),
      NodeAddr: z.string().default(''),
      LocalNodeState: z.string().default('inactive'),
      ControlAvailable: z.boolean().default(false),
      RemoteManagers: z.array(z.object({ NodeID: z.string(), Addr: z.string() })).nullish(),
      Cluster: z.object({ ID: z.string() }).nullish(),
    }),
  })
  .transform(
    (info): LocalNode => ({
      nodeId: info.Swarm.NodeID,
      clusterId: info.Swarm.Cluster?.ID || undefined,
      address: info.Swarm.NodeAddr,
      isManager: info.Swarm.ControlAvailable,
      hostname: info.Name,
      managers: (info.Swarm.RemoteManagers ?? []).map((one) => ({
        nodeId: one.NodeID,
        address: withoutPort(one.Addr),
      })),
    }),
  );

/** One of `GET /nodes`. */
export const nodeSchema = z
  .object({
    ID: z.string(),
    Spec: z.object({
      Role: z.enum(['manager', 'worker']),
      Availability: z.enum(['active', 'pause', 'drain']),
    }),
    Description: z.object({
      Hostname: z.string().default(''),
      Engine: z
        .object({
          Plugins: z.array(z.object({ Type: z.string(), Name: z.string() })).nullish(),
        })
        .nullish(),
    }),
    Status: z.object({
      State: z.enum(['ready', 'down', 'unknown', 'disconnected']).catch('unknown'),
      Addr: z.string().default(''),
    }),
    ManagerStatus: z.object({ Leader: z.boolean().default(false), Addr: z.string().default('') }).nullish(),
  })
  .transform((node): SwarmNode => {
    // A manager's own Status.Addr can be 0.0.0.0 or the address it sees itself by; its manager address is reachable.
    const managerAddress = node.ManagerStatus?.Addr ? withoutPort(node.ManagerStatus.Addr) : '';
    return {
      id: node.ID,
      hostname: node.Description.Hostname,
      role: node.Spec.Role,
      availability: node.Spec.Availability,
      state: node.Status.State,
      address: managerAddress || node.Status.Addr,
      leader: node.ManagerStatus?.Leader ?? false,
      volumeDrivers: (node.Description.Engine?.Plugins ?? [])
        .filter((plugin) => plugin.Type === 'Volume')
        .map((plugin) => withoutLatest(plugin.Name)),
    };
  });

/** One of `GET /services`. */
export const serviceSchema = z
  .object({
    ID: z.string(),
    CreatedAt: wallMs,
    UpdatedAt: wallMs,
    Spec: z.object({
      Name: z.string(),
      Labels: labels,
      TaskTemplate: z.object({
        ContainerSpec: z.object({ Image: z.string() }),
        Placement: z.object({ Constraints: z.array(z.string()).nullish() }).nullish(),
      }),
      Mode: z.object({ Replicated: z.object({ Replicas: z.number().nullish() }).nullish() }).nullish(),
    }),
  })
  .transform(
    (service): ServiceState => ({
      id: service.ID,
      name: service.Spec.Name,
      labels: service.Spec.Labels,
      constraints: service.Spec.TaskTemplate.Placement?.Constraints ?? [],
      // Swarm takes an absent number for one.
      replicas: service.Spec.Mode?.Replicated?.Replicas ?? 1,
      image: service.Spec.TaskTemplate.ContainerSpec.Image,
      createdAt: service.CreatedAt,
      updatedAt: service.UpdatedAt,
    }),
  );

/** `GET /services/<id>` as far as a change of scale touches it; all else is handed back as it came. */
export const rawServiceSchema = z.object({
  Version: z.object({ Index: z.number() }),
  Spec: z.looseObject({
    Mode: z.looseObject({ Replicated: z.looseObject({ Replicas: z.number().nullish() }) }),
    TaskTemplate: z.looseObject({
      Placement: z.looseObject({ Constraints: z.array(z.string()).nullish() }).nullish(),
    }),
  }),
});
export type RawServiceSpec = z.infer<typeof rawServiceSchema>['Spec'];

/** One of `GET /tasks`. */
export const taskSchema = z
  .object({
    ID: z.string(),
    ServiceID: z.string(),
    NodeID: z.string().nullish(),
    CreatedAt: wallMs,
    DesiredState: z.string(),
    Status: z.object({
      Timestamp: wallMs.optional(),
      State: z.string(),
      Message: z.string().nullish(),
      Err: z.string().nullish(),
    }),
  })
  .transform(
    (task): TaskState => ({
      id: task.ID,
      serviceId: task.ServiceID,
      nodeId: task.NodeID || undefined,
      desired: task.DesiredState,
      state: task.Status.State,
      message: task.Status.Err || '',
      createdAt: task.CreatedAt,
      updatedAt: task.Status.Timestamp ?? task.CreatedAt,
    }),
  );

/** One of `GET /configs`. Data is base64. */
export const configSchema = z.object({
  ID: z.string(),
  Spec: z.object({ Name: z.string(), Labels: labels, Data: z.string().default('') }),
});

/** `GET /volumes/<name>`. */
export const volumeSchema = z
  .object({ Driver: z.string(), Labels: labels, Status: z.record(z.string(), z.unknown()).nullish() })
  .transform((volume) => ({
    driver: withoutLatest(volume.Driver),
    labels: volume.Labels,
    status: volume.Status ?? {},
  }));

/** One of `GET /containers/json`. */
export const containerSchema = z.object({
  Id: z.string(),
  Mounts: z
    .array(z.object({ Type: z.string(), Name: z.string().nullish(), Driver: z.string().nullish() }))
    .nullish(),
});
