import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../../src/lib/exec.ts';
import { checkRun, type Diary, parseDiary } from '../../lab/story/check-run.ts';
import { readVolumeContent } from '../../lab/story/volume-content.ts';
import { waitFor } from '../../lab/tool/wait.ts';

const program = join(import.meta.dirname, '../../lab/story/worker.pl');

/** A fault of the shared folder, see `faults.c`. */
export interface Fault {
  readonly kind: string;
  /** Which of the matching calls goes wrong. */
  readonly at?: number;
  /** The worker that meets it; all of them when absent. */
  readonly worker?: string;
}

/** Builds the library that makes a folder's calls go wrong. @returns its file. */
export async function buildFaults(folder: string): Promise<string> {
  const library = join(folder, 'faults.so');
  const source = join(import.meta.dirname, 'faults.c');
  await run('gcc', ['-O1', '-shared', '-fPIC', '-o', library, source, '-ldl'], { timeoutMs: 30_000 });
  return library;
}

/**
 * Three real workers, processes of this machine, share a folder until each has worked for `rounds` rounds.
 * @returns their diaries and what the checker finds wrong.
 */
export async function runWorkers(options: {
  readonly rounds: number;
  readonly library: string;
  readonly fault?: Fault;
}): Promise<{ diaries: Diary[]; problems: string[] }> {
  const { rounds, library, fault } = options;
  const names = ['a', 'b', 'c'];
  const dir = await mkdtemp(join(tmpdir(), 'vfile-story-'));
  const [volume, diaries] = [join(dir, 'volume'), join(dir, 'diaries')];
  await Promise.all([mkdir(volume), mkdir(diaries)]);
  const diary = async (name: string): Promise<Diary> =>
    parseDiary(name, await readFile(join(diaries, `${name}.diary`), 'utf8').catch(() => ''));
  const children = names.map((name) => {
    const faulty = fault && (fault.worker ?? name) === name;
    return spawn('perl', [program, volume, diaries, name, '0'], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: {
        ...process.env,
        ...(faulty
          ? {
              LD_PRELOAD: library,
              FAULT: fault.kind,
              FAULT_AT: String(fault.at ?? 1),
              FAULT_FOLDER: volume,
            }
          : {}),
      },
    });
  });
  const ended = children.map(
    (child: ChildProcess) => new Promise<number | null>((done) => child.once('close', done)),
  );
  try {
    await waitFor(
      async () => {
        const now = await Promise.all(names.map(diary));
        const behind = now.filter(({ acks, turns }) => acks.length < rounds || turns.length < rounds - 1);
        const reason = behind.map(({ name, acks }) => `${name} has ${acks.length} records`).join(', ');
        return behind.length === 0 ? { done: true, value: undefined } : { done: false, reason };
      },
      { what: `${rounds} rounds of all workers`, timeoutMs: 20_000, everyMs: 20 },
    );
    for (const name of names) await writeFile(join(diaries, `${name}.stop`), '');
    await Promise.all(ended);
    const all = await Promise.all(names.map(diary));
    return { diaries: all, problems: checkRun(all, await readVolumeContent(volume)) };
  } finally {
    for (const child of children) child.kill('SIGKILL');
    await Promise.all(ended);
    await rm(dir, { recursive: true, force: true });
  }
}
