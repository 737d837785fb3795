import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const src = join(root, 'src');

/** Which other rooms of `src` a room may use, besides `lib`; `main` wires and may use all. */
const mayUse: Record<string, readonly string[]> = {
  lib: [],
  etcd: ['swarm'],
  swarm: [],
  plugin: [],
  vdvs: ['etcd', 'swarm', 'plugin'],
  vfile: ['etcd', 'swarm', 'plugin'],
  fileserver: ['etcd', 'vfile'],
  installer: ['swarm'],
  admin: ['etcd', 'swarm', 'vfile', 'vdvs'],
};
/** Libraries that stay inside one room: their types and errors must not leak. */
const onlyIn: Record<string, string> = { etcd3: 'etcd', dockerode: 'swarm' };

interface Import {
  file: string;
  room: string;
  target: string;
}

function imports(): Import[] {
  const found: Import[] = [];
  for (const file of readdirSync(src, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts')) continue;
    const text = readFileSync(join(src, file), 'utf8');
    for (const [, target] of text.matchAll(/(?:from|import\()\s*'([^']+)'/g)) {
      if (target) found.push({ file, room: file.split('/')[0] ?? '', target });
    }
  }
  return found;
}

describe('imports in src', () => {
  const all = imports();

  it('are found at all', () => {
    expect(all.length).toBeGreaterThan(10);
  });

  it('keep the direction main -> products -> adapters -> lib', () => {
    const wrong = all.filter(({ file, room, target }) => {
      if (room === 'main' || !target.startsWith('.')) return false;
      const to = relative(src, resolve(dirname(join(src, file)), target)).split('/')[0] ?? '';
      return to !== room && to !== 'lib' && !(mayUse[room] ?? []).includes(to);
    });
    expect(wrong.map(({ file, target }) => `${file} -> ${target}`)).toEqual([]);
  });

  it('keep each driver library in its own room', () => {
    const wrong = all.filter(({ room, target }) => {
      const home = onlyIn[target.split('/')[0] ?? ''];
      return home !== undefined && home !== room;
    });
    expect(wrong.map(({ file, target }) => `${file} -> ${target}`)).toEqual([]);
  });
});
