import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import express, { type Request, type Response } from 'express';
import type { z } from 'zod';
import { type Clock, systemClock } from '../lib/clock.ts';
import { toVolumeError, VolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { type Answer, encodeAnswer, listCall, namedCalls, staticAnswers } from './calls.ts';
import { createDriverSlot, type DriverSlot } from './driver-slot.ts';
import { type EarlySocket, openEarlySocket } from './early-socket.ts';
import {
  callDeadlines,
  type NamedCall,
  readinessDeadlines,
  requestSchemas,
  type Scope,
  type VolumeCall,
} from './protocol.ts';
import type { VolumeDriver } from './volume-driver.ts';

/** What the server needs. */
export interface VolumePluginServerOptions {
  /** Absent: calls wait until `attach`. */
  driver?: VolumeDriver;
  /** Unix socket that `listen` makes, or one that listens already. */
  socket: string | EarlySocket;
  log: Log;
  scope: Scope;
  clock?: Clock;
  /** ms, by call; the defaults are Docker's limits less a margin. */
  deadlines?: Readonly<Record<VolumeCall, number>>;
  readiness?: Readonly<Record<VolumeCall, number>>;
}

/** Docker's volume protocol on a unix socket. */
export interface VolumePluginServer extends Pick<DriverSlot, 'attach' | 'setWaitingFor'> {
  /** Accepts from now on; nothing else has to be ready. */
  listen(): Promise<void>;
  /** Answers no more; calls that are being worked on lose their connection. */
  close(): Promise<void>;
}

/** First and longest pause between two attempts to answer a Get whose answer is not known, in ms. */
const getRetryPauses = { first: 250, longest: 2_000 } as const;

/**
 * ms that a driver which does not know is asked again. Long enough for etcd to elect; and the engine, which tries again
 * after a lost connection for as long as 30 s have not passed, has then given up after 22 s.
 */
const getPatienceMs = 15_000;

/**
 * The volume protocol: decodes, bounds and encodes; the driver acts.
 *
 * Get is special: the engine takes *any* error for "does not exist" and forgets the volume with its labels and
 * references. So when the driver does not know, it is asked again for a while and then the connection is closed without
 * an answer, which the engine takes for a network error.
 */
export function createVolumePluginServer(options: VolumePluginServerOptions): VolumePluginServer {
  const { log, clock = systemClock } = options;
  const deadlines = options.deadlines ?? callDeadlines;
  const readiness = options.readiness ?? readinessDeadlines;
  const slot = createDriverSlot({ clock });
  if (options.driver) slot.attach(options.driver);

  const send = (response: Response, answer: Answer, status = 200) => {
    if (response.destroyed || response.headersSent) return;
    const { type, body } = encodeAnswer(answer);
    response.status(status).set('Content-Type', type).send(body);
  };

  /** Within the call's deadline, however long the driver takes; what the driver does then goes on. */
  const bounded = async (call: VolumeCall, volume: string, act: () => Promise<Answer>): Promise<Answer> => {
    const done = new AbortController();
    const late = clock.sleep(deadlines[call], done.signal).then((): never => {
      throw new VolumeError('timeout', `${call} ${volume}: not finished after ${deadlines[call] / 1000} s`);
    });
    try {
      return await Promise.race([act(), late]);
    } finally {
      done.abort();
    }
  };

  /** Tries until it is known whether the volume exists. Ends with the caller's deadline or its own patience. */
  const insist = async (act: () => Promise<Answer>, deadline: number): Promise<Answer> => {
    let patience: number | undefined;
    for (let pause: number = getRetryPauses.first; ; pause = Math.min(pause * 2, getRetryPauses.longest)) {
      try {
        return await act();
      } catch (thrown) {
        const error = toVolumeError(thrown);
        log.debug('get: not known yet', { error: error.message });
        // From the first answer: until the driver is there may take longer.
        patience ??= clock.monotonic() + getPatienceMs;
        if (clock.monotonic() + pause >= Math.min(deadline, patience)) throw error;
        await clock.sleep(pause);
      }
    }
  };

  const answerCall = async (
    call: VolumeCall,
    volume: string,
    response: Response,
    act: (driver: VolumeDriver) => Promise<Answer>,
  ) => {
    const started = clock.monotonic();
    const line = log.child({ call, ...(volume ? { volume } : {}) });
    const once = async () => await act(await slot.driver(readiness[call]));
    try {
      const answer = await bounded(call, volume, () =>
        call === 'Get' ? insist(once, started + deadlines.Get) : once(),
      );
      line.debug('answered', { ms: Math.round(clock.monotonic() - started) });
      send(response, { ...answer, Err: '' });
    } catch (thrown) {
      const error = toVolumeError(thrown);
      line.warn('failed', {
        ms: Math.round(clock.monotonic() - started),
        code: error.code,
        error: error.message,
      });
      if (call === 'Get') response.destroy();
      else send(response, { Err: error.message });
    }
  };

  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  // The engine sends no content type.
  app.use(express.text({ type: () => true, limit: '1mb' }));

  for (const [path, answer] of Object.entries(staticAnswers(options.scope))) {
    app.post(path, (_request, response) => send(response, answer));
  }
  app.post('/VolumeDriver.List', async (_request, response) => {
    await answerCall('List', '', response, listCall);
  });

  const named = <Body extends { Name: string }>(
    call: NamedCall,
    schema: z.ZodType<Body>,
    act: (driver: VolumeDriver, body: Body) => Promise<Answer>,
  ) => {
    app.post(`/VolumeDriver.${call}`, async (request: Request, response: Response) => {
      const parsed = schema.safeParse(parseBody(request.body));
      if (!parsed.success) {
        // An engine that retries after a connection error can send an empty body: whatever it meant, do nothing.
        const why = parsed.error.issues
          .map((issue) => `${issue.path.join('.')}: ${issue.message}`)
          .join('; ');
        log.warn('refused a malformed request', { call, error: why });
        if (call === 'Get') response.destroy();
        else
          send(
            response,
            { Err: `${call}: malformed request from the engine (${why}); nothing was done` },
            400,
          );
        return;
      }
      const body = parsed.data;
      await answerCall(call, body.Name, response, (driver) => act(driver, body));
    });
  };
  named('Create', requestSchemas.Create, namedCalls.Create);
  named('Remove', requestSchemas.Remove, namedCalls.Remove);
  named('Mount', requestSchemas.Mount, namedCalls.Mount);
  named('Unmount', requestSchemas.Unmount, namedCalls.Unmount);
  named('Path', requestSchemas.Path, namedCalls.Path);
  named('Get', requestSchemas.Get, namedCalls.Get);

  app.use((request: Request, response: Response) => {
    send(response, { Err: `${request.method} ${request.path}: not part of the volume protocol` }, 404);
  });

  // The engine keeps idle connections for ever, also some that it never used. Closing one as its next request arrives
  // looks like a crash: the engine tries again with an empty body, and a Get ends in "volume not found".
  const server = createServer({ keepAliveTimeout: 0, headersTimeout: 0, requestTimeout: 0 }, app);
  const listening: { socket?: EarlySocket; connections: Set<Socket> } = { connections: new Set() };
  return {
    attach: slot.attach,
    setWaitingFor: slot.setWaitingFor,
    async listen() {
      const { socket } = options;
      listening.socket = typeof socket === 'string' ? await openEarlySocket(socket) : socket;
      listening.socket.handOver((connection) => {
        listening.connections.add(connection);
        connection.once('close', () => listening.connections.delete(connection));
        server.emit('connection', connection);
        connection.resume();
      });
      log.info('listening', { socket: listening.socket.path });
    },
    async close() {
      const closed = listening.socket?.close();
      for (const connection of listening.connections) connection.destroy();
      await closed;
    },
  };
}

function parseBody(text: unknown): unknown {
  if (typeof text !== 'string' || text.trim() === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
