import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createVolume, image, removeVolume } from '../fixture.ts';
import type { Lab } from '../tool/lab.ts';
import { volumeMount } from './volume-mount.ts';

/** One program of `stress.pl`, on all hosts at once. */
export interface StressPart {
  readonly mode: 'open' | 'random' | 'many' | 'sparse';
  /** The program's own arguments. */
  readonly args: readonly string[];
  /** ms after which it counts as hung. */
  readonly timeoutMs: number;
}

/** What one program on one host came to. */
export interface StressResult {
  readonly fstype: string;
  readonly mode: string;
  readonly host: string;
  readonly ms: number;
  readonly said: string;
  readonly right: boolean;
}

/** The usual programs. @param files how many in one directory, at least. */
export function stressParts(hosts: readonly string[], files: number): StressPart[] {
  const share = Math.ceil(files / hosts.length);
  return [
    { mode: 'open', args: ['30', '8'], timeoutMs: 180_000 },
    { mode: 'random', args: ['60', '1'], timeoutMs: 240_000 },
    { mode: 'sparse', args: ['20000000000'], timeoutMs: 120_000 },
    // Each of so many files is on the disk when its client is told.
    { mode: 'many', args: [String(share), '8', hosts.join()], timeoutMs: 120_000 + files * 50 },
  ];
}

async function runPart(lab: Lab, volume: string, fstype: string, part: StressPart): Promise<StressResult[]> {
  const { mode, args, timeoutMs } = part;
  return await Promise.all(
    lab.hostNames.map(async (host) => {
      await copyFile(join(import.meta.dirname, 'stress.pl'), join(lab.host(host).shared, 'stress.pl'));
      const began = performance.now();
      const command = [
        ...['run', '--rm', '--network', 'none'],
        ...['--mount', volumeMount(volume)],
        ...['--mount', 'type=bind,source=/lab/shared,target=/diary'],
        ...[image, 'perl', '/diary/stress.pl', mode, '/volume', host, ...args],
      ];
      const { exitCode, stdout, stderr } = await lab.docker(host, command, { timeoutMs });
      const said = (stdout.trim() || stderr.trim()).split('\n').at(-1) ?? '';
      return { fstype, mode, host, ms: performance.now() - began, said, right: exitCode === 0 };
    }),
  );
}

/**
 * Runs the programs one after the other, on a volume of each file system.
 * @throws VolumeError `timeout` when one hangs.
 */
export async function runStress(
  lab: Lab,
  parts: readonly StressPart[],
  say: (result: StressResult) => void,
): Promise<StressResult[]> {
  const results: StressResult[] = [];
  for (const fstype of ['ext4', 'xfs']) {
    const volume = `stress-${fstype}`;
    // Large enough to have an inode for each of many files; it takes only what is written.
    await createVolume(lab, 'node1', volume, { size: '3gb', fstype });
    for (const part of parts) {
      const found = await runPart(lab, volume, fstype, part);
      for (const one of found) say(one);
      results.push(...found);
    }
    await removeVolume(lab, 'node1', volume);
  }
  return results;
}
