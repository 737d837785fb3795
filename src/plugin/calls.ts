import type { z } from 'zod';
import { type NamedCall, protocolContentType, type requestSchemas, type Scope } from './protocol.ts';
import type { DriverVolume, VolumeDriver } from './volume-driver.ts';

/** What a call's answer carries beside `Err`. */
export type Answer = Readonly<Record<string, unknown>>;

type Bodies = { [Call in NamedCall]: z.infer<(typeof requestSchemas)[Call]> };

function encodeVolume(volume: DriverVolume): Answer {
  return {
    Name: volume.name,
    Mountpoint: volume.mountpoint,
    CreatedAt: volume.createdAt,
    ...(volume.status ? { Status: volume.status } : {}),
  };
}

/** Docker's calls in terms of the driver. */
export const namedCalls: {
  readonly [Call in NamedCall]: (driver: VolumeDriver, body: Bodies[Call]) => Promise<Answer>;
} = {
  Create: async (driver, body) => {
    await driver.create(body.Name, body.Opts);
    return {};
  },
  Remove: async (driver, body) => {
    await driver.remove(body.Name);
    return {};
  },
  Mount: async (driver, body) => ({ Mountpoint: await driver.mount(body.Name, body.ID) }),
  Unmount: async (driver, body) => {
    await driver.unmount(body.Name, body.ID);
    return {};
  },
  Path: async (driver, body) => ({ Mountpoint: await driver.path(body.Name) }),
  // A null volume without an error is how the engine learns that there certainly is none.
  Get: async (driver, body) => {
    const volume = await driver.get(body.Name);
    return { Volume: volume ? encodeVolume(volume) : null };
  },
};

/** `VolumeDriver.List`. */
export async function listCall(driver: VolumeDriver): Promise<Answer> {
  return { Volumes: (await driver.list()).map(encodeVolume) };
}

/** Answers that need no driver, by path. */
export function staticAnswers(scope: Scope): Readonly<Record<string, Answer>> {
  return {
    '/Plugin.Activate': { Implements: ['VolumeDriver'] },
    '/VolumeDriver.Capabilities': { Capabilities: { Scope: scope } },
  };
}

/** Header and body of an answer; bytes, because Express adds a charset to strings. */
export function encodeAnswer(answer: Answer): { type: string; body: Buffer } {
  return { type: protocolContentType, body: Buffer.from(`${JSON.stringify(answer)}\n`) };
}
