import type { NodeFacts } from './observed.ts';

/** Where a volume's server may run, as constraints of its service; or why nowhere. */
export type Placement =
  | { readonly fit: true; readonly constraints: readonly string[] }
  | { readonly fit: false; readonly reason: string };

/** A leader's node is spared as long as another node serves at most so many volumes more. */
const leaderBias = 2;

/** Why a node cannot serve; `undefined` when it can. */
export function unfitFor(node: NodeFacts, baseDriver: string): string | undefined {
  if (!node.inSwarm) return 'has left the Swarm';
  if (!node.alive) return 'no sign of life from its vFile plugin';
  if (node.state !== 'ready') return node.state;
  if (node.availability === 'drain') return 'drained';
  if (node.availability === 'pause') return 'paused';
  const name = baseDriver.replace(/:latest$/, '');
  if (!node.drivers.includes(name)) return `volume driver ${name} is not reported there`;
  return undefined;
}

/**
 * Chooses where a file server may run.
 *
 * The choice is expressed by *excluding* nodes, never by naming one: among the rest Swarm itself spreads by load, and
 * should a host be lost or drained while no manager of ours acts, Swarm can still move the server. Excluded are the nodes that
 * cannot serve, `avoid` if any other node can, and nodes on which a leader runs (of the Swarm, of etcd, of our managers) as
 * long as the others do not serve many more volumes: when such a host is lost, its volumes would wait for an election
 * as well. A node that joins later is not excluded; Swarm keeps servers off it until it reports the base driver.
 * @param avoid nodes that just failed to serve.
 * @param standby whether two nodes are to be left where there are as many, so that a second task has a place.
 */
export function placeServer(options: {
  readonly nodes: readonly NodeFacts[];
  readonly baseDriver: string;
  readonly avoid?: readonly string[];
  readonly standby?: boolean;
}): Placement {
  const { nodes, baseDriver, avoid = [], standby = false } = options;
  const fit = nodes.filter((node) => unfitFor(node, baseDriver) === undefined);
  if (fit.length === 0) {
    const reasons = nodes
      .filter((node) => node.inSwarm)
      .map((node) => `${node.host}: ${unfitFor(node, baseDriver)}`);
    return { fit: false, reason: `no node is fit to serve (${reasons.join('; ') || 'no nodes are known'})` };
  }
  const others = fit.filter((node) => !avoid.includes(node.id));
  const willing = others.length > 0 ? others : fit;
  const calmer = (node: NodeFacts): boolean =>
    willing.some((other) => other.leads < node.leads && other.servers <= node.servers + leaderBias);
  const allowed = new Set(willing.filter((node) => !calmer(node)));
  const least = standby ? 2 : 1;
  for (const node of willing.toSorted((a, b) => a.leads - b.leads || a.servers - b.servers)) {
    if (allowed.size < least) allowed.add(node);
  }
  const constraints = nodes
    .filter((node) => node.inSwarm && !allowed.has(node))
    .map((node) => `node.id!=${node.id}`)
    .sort();
  return { fit: true, constraints };
}

/** Whether a service with these constraints may run on a node; knows only the constraints that `placeServer` makes. */
export function admits(constraints: readonly string[], nodeId: string): boolean {
  return !constraints.some((constraint) => constraint.replaceAll(' ', '') === `node.id!=${nodeId}`);
}
