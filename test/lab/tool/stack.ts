import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { engineJson } from './engine.ts';
import type { HostSpec } from './host-spec.ts';
import type { Lab } from './lab.ts';
import { readManifest } from './manifest.ts';
import type { Say } from './steps.ts';
import { type Look, waitFor } from './wait.ts';

/** The name under which the stack is deployed. */
export const stackName = 'vfile';

/** The folders that all hosts share, as the product's setting. */
const datastores = ['default', 'second'].map((name) => `${name}=/var/lib/vdvs/datastores/${name}`).join(',');

const servicesSchema = z.array(
  z.object({
    ID: z.string(),
    Spec: z.object({ Name: z.string() }),
    ServiceStatus: z.object({ RunningTasks: z.number(), DesiredTasks: z.number() }),
  }),
);
const tasksSchema = z.array(
  z.object({
    ServiceID: z.string(),
    NodeID: z.string().optional(),
    DesiredState: z.string(),
    UpdatedAt: z.string(),
    Status: z.object({ State: z.string(), Err: z.string().optional(), Message: z.string().optional() }),
  }),
);
const pluginsSchema = z.array(z.object({ Name: z.string(), Enabled: z.boolean() }));

/** Deploys the product's stack as a user does, and waits until all of it is ready on all hosts. */
export async function deployStack(lab: Lab, say: Say, signal?: AbortSignal): Promise<void> {
  const file = join(lab.paths.repo, 'swarm-stack.yml');
  const [first] = lab.hosts;
  const manifest = readManifest(lab.paths.repo);
  if (first === undefined || manifest === undefined || !existsSync(file)) {
    return say('there is no swarm-stack.yml, or nothing to run in it: nothing to deploy');
  }
  say('docker stack deploy -c swarm-stack.yml vfile');
  await lab.dockerOk(first.name, ['stack', 'deploy', '-c', file, stackName], {
    timeoutMs: 120_000,
    env: { VDVS_DATASTORES: datastores },
  });
  const options = { timeoutMs: 240_000, everyMs: 300, say, ...(signal ? { signal } : {}) };
  await waitFor(
    whileUp(lab, () => servicesReady(first)),
    { what: 'the services', ...options },
  );
  say('all services run');
  const plugins = manifest.plugins.map((plugin) => plugin.name);
  await waitFor(
    whileUp(lab, () => pluginsReady(lab.hosts, plugins)),
    { what: 'the plugins', ...options },
  );
  say('all plugins are enabled');
  await waitFor(
    whileUp(lab, () => volumesAnswer(lab)),
    { what: 'the volumes', ...options },
  );
}

/** A look that is hopeless once a host is down: that of a lab that is coming up never comes back by itself. */
function whileUp(lab: Lab, look: () => Promise<Look<void>>): () => Promise<Look<void>> {
  return async () => {
    const down = lab.hostNames.filter((name) => lab.power(name).power() === 'down');
    if (down.length === 0) return look();
    const words = down.map((name) => `${name} went down: ${lab.power(name).lastWords()}`);
    return { done: false, reason: words.join(', '), hopeless: true };
  };
}

async function servicesReady(manager: HostSpec): Promise<Look<void>> {
  const filters = encodeURIComponent(JSON.stringify({ label: [`com.docker.stack.namespace=${stackName}`] }));
  const services = await engineJson(
    manager.dockerSocket,
    `/services?status=true&filters=${filters}`,
    servicesSchema,
  );
  const behind = services.filter(
    ({ ServiceStatus: is }) => is.DesiredTasks === 0 || is.RunningTasks < is.DesiredTasks,
  );
  if (services.length > 0 && behind.length === 0) return { done: true, value: undefined };
  const tasks = await engineJson(manager.dockerSocket, `/tasks?filters=${filters}`, tasksSchema);
  const reasons = behind.map((service) => {
    const { RunningTasks, DesiredTasks } = service.ServiceStatus;
    return `${service.Spec.Name} ${RunningTasks}/${DesiredTasks}${complaint(tasks, service.ID)}`;
  });
  return { done: false, reason: reasons.join(', ') || 'no service yet' };
}

/** What the latest task of the service that is not well says about it. */
function complaint(tasks: z.infer<typeof tasksSchema>, service: string): string {
  const latest = tasks
    .filter((task) => task.ServiceID === service && task.Status.State !== 'running')
    .sort((a, b) => b.UpdatedAt.localeCompare(a.UpdatedAt))[0];
  if (latest === undefined) return '';
  return ` (${latest.Status.State}${latest.Status.Err ? `: ${latest.Status.Err}` : ''})`;
}

async function pluginsReady(hosts: readonly HostSpec[], wanted: readonly string[]): Promise<Look<void>> {
  const bad = await Promise.all(
    hosts.map(async (host) => {
      const plugins = await engineJson(host.dockerSocket, '/plugins', pluginsSchema);
      const off = wanted.filter((name) => !plugins.some((plugin) => plugin.Name === name && plugin.Enabled));
      return off.map((name) => `${name} is not enabled on ${host.name}`);
    }),
  );
  const reason = bad.flat().join(', ');
  return reason === '' ? { done: true, value: undefined } : { done: false, reason };
}

async function volumesAnswer(lab: Lab): Promise<Look<void>> {
  const bad = await Promise.all(
    lab.hostNames.map(async (name) => {
      const result = await lab.docker(name, ['volume', 'ls', '-f', 'driver=vfile'], { timeoutMs: 70_000 });
      const said = result.stderr.trim();
      return result.exitCode === 0 && said === ''
        ? []
        : [`${name}: ${said || `exit code ${result.exitCode}`}`];
    }),
  );
  const reason = bad.flat().join(', ');
  return reason === '' ? { done: true, value: undefined } : { done: false, reason };
}
