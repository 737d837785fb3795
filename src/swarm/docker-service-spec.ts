import type { RawServiceSpec } from './docker-schemas.ts';
import type { ServiceMount, ServiceSpec } from './swarm.ts';

const nsPerMs = 1_000_000;

function renderMount(mount: ServiceMount): Record<string, unknown> {
  if (mount.type === 'bind') {
    return { Type: 'bind', Source: mount.source, Target: mount.target, ReadOnly: mount.readOnly };
  }
  return {
    Type: 'volume',
    Source: mount.source,
    Target: mount.target,
    VolumeOptions: {
      // The image's content at the mount point must never be copied into a user's volume.
      NoCopy: true,
      DriverConfig: { Name: mount.driver, Options: mount.driverOptions ?? {} },
    },
  };
}

/** A service as Docker's API takes it. */
export function renderDockerService(spec: ServiceSpec): Record<string, unknown> {
  return {
    Name: spec.name,
    Labels: spec.labels,
    TaskTemplate: {
      ContainerSpec: {
        Image: spec.image,
        Command: [...spec.command],
        Env: Object.entries(spec.env).map(([name, value]) => `${name}=${value}`),
        Hostname: spec.hostname,
        Mounts: spec.mounts.map(renderMount),
        StopGracePeriod: spec.stopGraceMs * nsPerMs,
        CapabilityAdd: [...spec.capabilities],
        Labels: spec.labels,
      },
      // Swarm's default delay of 5 s would be added to every recovery.
      RestartPolicy: { Condition: 'any', Delay: 0 },
      Placement: { Constraints: [...spec.constraints], MaxReplicas: spec.maxReplicasPerNode },
      Networks: [{ Target: 'host' }],
    },
    Mode: { Replicated: { Replicas: spec.replicas } },
    // For whoever forces an update by hand. Stop-first: the new task waits for the disk that the old one holds. Continue: a
    // task that fails is the planner's business.
    UpdateConfig: { Parallelism: 1, Order: 'stop-first', FailureAction: 'continue', Delay: 0 },
  };
}

/**
 * A service's specification as it was read, with another number of tasks, and other constraints where given. Whatever else is
 * in it stays: Swarm starts a task anew when anything but its constraints changes.
 */
export function rescaled(
  spec: RawServiceSpec,
  replicas: number,
  constraints: readonly string[] | undefined,
): RawServiceSpec {
  const { Mode: mode, TaskTemplate: template } = spec;
  const placed =
    constraints === undefined
      ? template
      : { ...template, Placement: { ...template.Placement, Constraints: [...constraints] } };
  return {
    ...spec,
    Mode: { ...mode, Replicated: { ...mode.Replicated, Replicas: replicas } },
    TaskTemplate: placed,
  };
}
