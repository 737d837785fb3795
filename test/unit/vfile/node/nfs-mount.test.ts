import { describe, expect, it } from 'vitest';
import { VolumeError } from '../../../../src/lib/errors.ts';
import type { Run } from '../../../../src/lib/exec.ts';
import { silentLog } from '../../../../src/lib/log.ts';
import { ManualClock } from '../../../../src/lib/manual-clock.ts';
import { parseMountinfo } from '../../../../src/vfile/node/mount-table.ts';
import { createNfsMounter, mountOptions } from '../../../../src/vfile/node/nfs-mount.ts';

const root = '/nowhere/mounts';
const line = `99 36 0:55 / ${root}/vol1 rw shared:9 - nfs4 10.0.0.1:/vol rw,port=20501,addr=10.0.0.1`;

/** A kernel in which `vol1` is mounted `layers` times; `umount` does what the test says. */
function kernel(layers: number, umount: (args: readonly string[], detach: () => void) => Promise<void>) {
  const clock = new ManualClock();
  const calls: string[] = [];
  let mounted = layers;
  const run: Run = async (file, args) => {
    calls.push(`${file} ${args.filter((arg) => !['-i', '-c', '-n'].includes(arg)).join(' ')}`);
    await umount(args, () => {
      mounted -= 1;
    });
    return { exitCode: 0, stdout: '', stderr: '' };
  };
  const mounter = createNfsMounter({
    run,
    clock,
    log: silentLog,
    mountRoot: root,
    mountTable: async () => parseMountinfo(Array.from({ length: mounted }, () => line).join('\n')),
  });
  return { clock, calls, mounter };
}
const forEver = () => new Promise<never>(() => undefined);

describe('mount options', () => {
  it('are hard, on the volume’s port, and let the administrator’s come last', () => {
    const options = mountOptions(20501, 'acregmax=60').split(',');
    expect(options).toEqual(
      expect.arrayContaining(['vers=4.1', 'hard', 'proto=tcp', 'port=20501', 'retry=0']),
    );
    expect(options).not.toContain('noresvport');
    expect(options.at(-1)).toBe('acregmax=60');
  });
});

describe('unmount', () => {
  it('does nothing when nothing is mounted', async () => {
    const { mounter, calls } = kernel(0, async () => undefined);
    expect(await mounter.unmount('vol1')).toEqual({ how: 'clean' });
    expect(calls).toEqual([]);
  });

  it('takes off every layer', async () => {
    const { mounter, calls } = kernel(2, async (_args, detach) => detach());
    expect(await mounter.unmount('vol1')).toEqual({ how: 'clean' });
    expect(calls).toEqual([`umount ${root}/vol1`, `umount ${root}/vol1`]);
  });

  it('forces a mount that hangs, and says so', async () => {
    const { mounter, clock, calls } = kernel(1, async (args, detach) => {
      if (!args.includes('-f')) return await forEver();
      detach();
    });
    const outcome = mounter.unmount('vol1');
    await clock.advance(35_000);
    expect(await outcome).toEqual({ how: 'forced', reason: 'umount did not end within 35 s' });
    expect(calls).toEqual([`umount ${root}/vol1`, `umount -f ${root}/vol1`]);
  });

  it('ends lazily, and never by force, when somebody keeps it busy', async () => {
    const { mounter, calls } = kernel(1, async (args, detach) => {
      if (!args.includes('-l')) throw new VolumeError('internal', 'target is busy');
      detach();
    });
    expect(await mounter.unmount('vol1')).toEqual({ how: 'lazy', reason: 'target is busy' });
    expect(calls).toEqual([`umount ${root}/vol1`, `umount -l ${root}/vol1`]);
  });

  it('fails when nothing helps', async () => {
    const { mounter } = kernel(1, async () => {
      throw new VolumeError('internal', 'target is busy');
    });
    await expect(mounter.unmount('vol1')).rejects.toMatchObject({ code: 'busy' });
  });

  it('tells when the kernel still writes back: forcing could not help then, and the server is still needed', async () => {
    let finish: () => void = () => undefined;
    const { mounter, clock, calls } = kernel(1, async (_args, detach) => {
      detach();
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
    });
    const outcome = mounter.unmount('vol1');
    await clock.advance(35_000);
    const result = await outcome;
    expect(calls).toHaveLength(1);
    if (result.how !== 'flushing') throw new Error(`how is ${result.how}`);
    finish();
    await result.finished;
  });
});
