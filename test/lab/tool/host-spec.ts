import { join } from 'node:path';
import type { LabPaths } from './paths.ts';

/** What is fixed about one host of the lab before it has ever been started. */
export interface HostSpec {
  /** `node1`, `node2`, ... */
  readonly name: string;
  /** Counts from 1. */
  readonly index: number;
  /** Its address on the network all hosts share. */
  readonly address: string;
  /** Its end of the wire that only the lab itself uses; no other host can reach it. */
  readonly managementAddress: string;
  /** The lab's end of that wire. */
  readonly managementPeer: string;
  readonly tap: string;
  readonly managementTap: string;
  readonly mac: string;
  readonly managementMac: string;
  readonly dir: string;
  readonly log: string;
  readonly shared: string;
  readonly agentSocket: string;
  readonly dockerSocket: string;
}

/** The lab's own address on the hosts' network, for servers that tests run beside the hosts. */
export const labAddress = '10.99.0.1';

/** The most hosts a lab can have; sockets and addresses have room for as many. */
export const mostHosts = 20;

/** The hosts of a lab with `count` of them. */
export function hostSpecs(paths: LabPaths, count: number): HostSpec[] {
  return Array.from({ length: count }, (_, at) => hostSpec(paths, at + 1));
}

function hostSpec(paths: LabPaths, index: number): HostSpec {
  const name = `node${index}`;
  const hex = index.toString(16).padStart(2, '0');
  return Object.freeze({
    name,
    index,
    address: `10.99.0.${10 + index}`,
    managementAddress: `100.64.${index}.2`,
    managementPeer: `100.64.${index}.1`,
    tap: `data${index}`,
    managementTap: `mgmt${index}`,
    mac: `02:99:00:00:00:${hex}`,
    managementMac: `02:98:00:00:00:${hex}`,
    dir: join(paths.hosts, name),
    log: join(paths.logs, name),
    shared: join(paths.hosts, name, 'shared'),
    agentSocket: join(paths.sockets, `${name}.agent`),
    dockerSocket: join(paths.sockets, `${name}.docker`),
  });
}
