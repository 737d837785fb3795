import { readFile, writeFile } from 'node:fs/promises';
import type { Manager } from './types.ts';

const begin = '# vfile etcd members: begin (kept by vfile, do not edit)';
const end = '# vfile etcd members: end';

/** The text of a hosts file with our lines brought up to date and all others left alone. Pure. */
export function renderHosts(text: string, managers: readonly Manager[]): string {
  const lines = text.split('\n');
  const [from, to] = [lines.indexOf(begin), lines.indexOf(end)];
  const others = from >= 0 && to > from ? [...lines.slice(0, from), ...lines.slice(to + 1)] : lines;
  while (others.at(-1) === '') others.pop();
  const ours = [...managers]
    .sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1))
    .map(({ nodeId, address }) => `${address}\t${nodeId}`);
  return `${[...others, begin, ...ours, end].join('\n')}\n`;
}

/**
 * Makes the node IDs of managers resolvable. Written in place, because Docker binds the file itself into the container and
 * a rename cannot replace it; etcd looks again whenever it connects.
 */
export async function writeHosts(path: string, managers: readonly Manager[]): Promise<void> {
  const before = await readFile(path, 'utf8');
  const after = renderHosts(before, managers);
  if (after !== before) await writeFile(path, after);
}
