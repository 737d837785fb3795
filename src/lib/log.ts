import winston from 'winston';
import DailyRotateFile from 'winston-daily-rotate-file';

/** Fields every line may carry; never put secrets or option values that may hold secrets here. */
export interface LogFields {
  volume?: string;
  node?: string;
  attempt?: number;
  [field: string]: unknown;
}

/** What the code sees of the logger. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger whose lines all carry `fields` too. */
  child(fields: LogFields): Log;
}

/** Where log lines go, besides standard error. */
export interface LogSettings {
  level: 'debug' | 'info' | 'warn' | 'error';
  /** Name of the process, on each line. */
  process: string;
  /** Directory for rotated files; standard error only when absent. */
  path?: string;
  maxSizeMb: number;
  maxFiles: number;
  maxAgeDays: number;
}

function flatten(info: winston.Logform.TransformableInfo): string {
  const { timestamp, level, message, process: name, ...rest } = info;
  const fields = Object.entries(rest)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return [timestamp, level.toUpperCase(), name, message, ...fields].join(' ');
}

function wrap(logger: winston.Logger): Log {
  return {
    debug: (message, fields) => void logger.debug(message, fields),
    info: (message, fields) => void logger.info(message, fields),
    warn: (message, fields) => void logger.warn(message, fields),
    error: (message, fields) => void logger.error(message, fields),
    child: (fields) => wrap(logger.child(fields)),
  };
}

/** The process's logger: one line per event on standard error, and rotated files when a path is set. */
export function createLog(settings: LogSettings): Log {
  const line = winston.format.combine(winston.format.timestamp(), winston.format.printf(flatten));
  const transports: winston.transport[] = [
    new winston.transports.Console({ stderrLevels: ['error', 'warn', 'info', 'debug'], format: line }),
  ];
  if (settings.path) {
    // The library keeps by count or by age, not both: the stricter of the two settings is the age, so use it and
    // bound the disk by size times count through maxSize per day's files.
    transports.push(
      new DailyRotateFile({
        dirname: settings.path,
        filename: `${settings.process}-%DATE%.log`,
        maxSize: `${settings.maxSizeMb}m`,
        maxFiles: settings.maxFiles,
        format: line,
      }),
    );
  }
  return wrap(
    winston.createLogger({
      level: settings.level,
      defaultMeta: { process: settings.process },
      transports,
    }),
  );
}

/** A logger that keeps nothing; for tests and pure wiring. */
export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLog,
};
