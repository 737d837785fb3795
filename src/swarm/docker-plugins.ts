import Docker from 'dockerode';
import { z } from 'zod';
import type { Clock } from '../lib/clock.ts';
import { VolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { ask } from './ask-engine.ts';
import type { EnginePlugins, InstalledPlugin } from './engine-plugins.ts';

/** A pull through a slow line may take this long. */
const pullMs = 600_000;
/** The engine starts the plugin's process and waits for its socket. */
const enableMs = 70_000;
/**
 * The limit of each call of the engine to the plugin until the engine starts again. It is there besides the engine's own
 * for each kind of call, of which the longest is 120 s, and would cut a Mount before the plugin can say why it waits.
 */
const callSeconds = 150;
/** The engine gives the process 10 s to stop by itself. */
const disableMs = 30_000;
const watchAgainMs = 5_000;

const settable = z
  .array(z.string())
  .nullish()
  .transform((given) => given ?? []);
const variable = z.object({ Name: z.string(), Value: z.string().nullish(), Settable: settable });
const mount = z.object({ Name: z.string(), Source: z.string().nullish(), Settable: settable });
const pluginSchema = z
  .object({
    Name: z.string(),
    Enabled: z.boolean(),
    Settings: z.object({ Env: z.array(z.string()).nullish() }),
    Config: z.object({ Env: z.array(variable).nullish(), Mounts: z.array(mount).nullish() }),
  })
  .transform((plugin): InstalledPlugin => {
    const variables = plugin.Config.Env ?? [];
    // `plugin set` writes a mount's source into the configuration itself; the engine starts from that one too.
    const mounts = plugin.Config.Mounts ?? [];
    const set = (plugin.Settings.Env ?? []).map((line): [string, string] => {
      const at = line.indexOf('=');
      return [line.slice(0, at), line.slice(at + 1)];
    });
    return {
      name: plugin.Name,
      enabled: plugin.Enabled,
      // Not from the settings: an upgrade keeps those, and so the old plugin's version.
      version: variables.find(({ Name }) => Name === 'VFILE_VERSION')?.Value ?? '',
      settings: Object.fromEntries([
        ...set,
        ...mounts.map(({ Name, Source }): [string, string] => [`${Name}.source`, Source ?? '']),
      ]),
      settable: [
        ...variables.filter(({ Settable }) => Settable.includes('value')).map(({ Name }) => Name),
        ...mounts.filter(({ Settable }) => Settable.includes('source')).map(({ Name }) => `${Name}.source`),
      ],
    };
  });
const privilege = z.object({ Name: z.string(), Description: z.string(), Value: z.array(z.string()) });
// An engine that cannot reach the registry says `null` here; the pull then tells why.
const privilegesSchema = z.union([z.array(privilege), z.literal('null').transform(() => [])]);
const rootSchema = z.object({ DockerRootDir: z.string() }).transform((info) => info.DockerRootDir);

/** No registry has it: `.invalid` is never given to anybody (RFC 2606). */
const noImage = 'vfile.invalid/none:none';

/** What dockerode's own plugin calls cannot say: queries together with bodies that are lists. */
interface Dialer {
  dial(
    request: {
      path: string;
      method: 'GET' | 'POST';
      statusCodes: Record<number, boolean | string>;
      options: { _query: Record<string, string | number>; _body: unknown };
      abortSignal: AbortSignal;
    },
    done: (error: unknown, answer: unknown) => void,
  ): void;
}

/** An image's full name: `docker plugin install` adds the registry's name by itself, the API adds nothing. */
export function pluginReference(image: string): string {
  const named = /:[^/]+$/.test(image) ? image : `${image}:latest`;
  const first = named.split('/')[0] ?? '';
  if (named.includes('/') && (/[.:]/.test(first) || first === 'localhost')) return named;
  return `docker.io/${named.includes('/') ? '' : 'library/'}${named}`;
}

/** A pull reports its failure at the end of a successful answer. */
function pullFailure(answer: unknown): string | undefined {
  const lines = typeof answer === 'string' ? answer.split('\n') : [JSON.stringify(answer ?? {})];
  for (const line of lines) {
    if (!line.includes('"error"')) continue;
    const parsed = z.object({ error: z.string() }).safeParse(JSON.parse(line));
    if (parsed.success) return parsed.data.error;
  }
  return undefined;
}

/** The managed plugins of the engine behind a socket. */
export function createDockerPlugins({
  socketPath,
  clock,
  log,
}: {
  socketPath: string;
  clock: Clock;
  log: Log;
}): EnginePlugins {
  const docker = new Docker({ socketPath });
  const modem: Dialer = docker.modem;

  const send = <T>(
    call: { what: string; timeoutMs?: number; onConflict?: 'busy' },
    schema: z.ZodType<T>,
    request: {
      method: 'GET' | 'POST';
      path: string;
      query?: Record<string, string | number>;
      body?: unknown;
    },
  ): Promise<T> =>
    ask(
      call,
      schema,
      (abortSignal) =>
        new Promise((resolve, reject) => {
          modem.dial(
            {
              path: `${request.path}${request.query ? '?' : ''}`,
              method: request.method,
              statusCodes: { 200: true, 204: true },
              options: { _query: request.query ?? {}, _body: request.body ?? {} },
              abortSignal,
            },
            (error, answer) => {
              if (error) reject(error);
              // What is not one JSON value comes as it is.
              else resolve(Buffer.isBuffer(answer) ? answer.toString().trim() : answer);
            },
          );
        }),
    );

  const pull = async (what: string, path: string, image: string, name: string): Promise<void> => {
    const remote = pluginReference(image);
    const privileges = await send(
      { what: `ask what plugin ${image} needs`, timeoutMs: 60_000 },
      privilegesSchema,
      {
        method: 'GET',
        path: '/plugins/privileges',
        query: { remote },
      },
    );
    const answer = await send({ what, timeoutMs: pullMs }, z.unknown(), {
      method: 'POST',
      path,
      query: { remote, name },
      body: privileges,
    });
    const failure = pullFailure(answer);
    if (failure !== undefined) throw new VolumeError('unavailable', `${what}: ${failure}`);
  };

  const plugin = (name: string, what: string): string => `/plugins/${name}/${what}`;

  const follow = async (changed: () => void, signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      try {
        const stream = await docker.getEvents({ filters: { type: ['plugin'] } });
        const stop = () => 'destroy' in stream && typeof stream.destroy === 'function' && stream.destroy();
        signal.addEventListener('abort', stop, { once: true });
        try {
          changed();
          for await (const _ of stream) changed();
        } finally {
          signal.removeEventListener('abort', stop);
        }
      } catch (thrown) {
        if (!signal.aborted) log.debug('plugin events ended', { error: String(thrown) });
      }
      await clock.sleep(watchAgainMs, signal).catch(() => undefined);
    }
  };

  return {
    async inspect(name) {
      try {
        return await send({ what: `inspect plugin ${name}` }, pluginSchema, {
          method: 'GET',
          path: plugin(name, 'json'),
        });
      } catch (thrown) {
        if (thrown instanceof VolumeError && thrown.code === 'not_found') return undefined;
        throw thrown;
      }
    },
    install: (name, image) => pull(`install plugin ${name} from ${image}`, '/plugins/pull', image, name),
    upgrade: (name, image) =>
      pull(`upgrade plugin ${name} to ${image}`, plugin(name, 'upgrade'), image, name),
    async configure(name, settings) {
      await send({ what: `set plugin ${name}` }, z.unknown(), {
        method: 'POST',
        path: plugin(name, 'set'),
        body: Object.entries(settings).map(([key, value]) => `${key}=${value}`),
      });
    },
    async enable(name) {
      await send({ what: `enable plugin ${name}`, timeoutMs: enableMs }, z.unknown(), {
        method: 'POST',
        path: plugin(name, 'enable'),
        query: { timeout: callSeconds },
      });
    },
    async disable(name) {
      await send({ what: `disable plugin ${name}`, timeoutMs: disableMs, onConflict: 'busy' }, z.unknown(), {
        method: 'POST',
        path: plugin(name, 'disable'),
        query: { force: 1 },
      });
    },
    async seesDirectory(path) {
      // It looks at a mount's source before it looks for the image, so there is never a container.
      const what = `ask whether the engine sees ${path}`;
      try {
        await send({ what }, z.unknown(), {
          method: 'POST',
          path: '/containers/create',
          body: { Image: noImage, HostConfig: { Mounts: [{ Type: 'bind', Source: path, Target: '/seen' }] } },
        });
      } catch (thrown) {
        if (thrown instanceof VolumeError && thrown.code === 'not_found') return true;
        if (thrown instanceof VolumeError && /source path does not exist/.test(thrown.message)) return false;
        throw thrown;
      }
      throw new VolumeError(
        'internal',
        `${what}: it has made a container of an image that cannot be: ${noImage}`,
      );
    },
    dataRoot: () => send({ what: 'docker info' }, rootSchema, { method: 'GET', path: '/info' }),
    watch: (changed, signal) => void follow(changed, signal),
  };
}
