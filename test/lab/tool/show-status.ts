import Table from 'cli-table3';
import type { LabStatus } from './status.ts';

/** Writes the status for people, or as JSON for programs. */
export function showStatus(status: LabStatus, json: boolean): void {
  process.stdout.write(json ? `${JSON.stringify(status, null, 2)}\n` : `${render(status)}\n`);
}

function render(status: LabStatus): string {
  if (status.hosts.length === 0) return 'no lab is up';
  const table = new Table({
    head: ['host', 'address', 'power', 'network', 'engine', 'Swarm', 'plugins'],
    style: { head: [], border: [] },
  });
  for (const host of status.hosts) {
    table.push([
      host.name,
      host.address,
      host.power,
      host.network,
      host.engine,
      host.swarm,
      host.plugins.join('\n'),
    ]);
  }
  const services = status.services.length > 0 ? [`services: ${status.services.join(', ')}`] : [];
  return [
    `lab in ${status.dir}: ${status.ready ? 'ready' : 'not ready'}`,
    table.toString(),
    ...services,
  ].join('\n');
}
