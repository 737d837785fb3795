/** One line of ganesha's log, with the level that it deserves in ours. */
export interface GaneshaLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  /** Component, function and text; without time, host and process, which our own line has. */
  readonly message: string;
  /** What this line tells about the state of the server, for those lines that do. */
  readonly tells?: 'serving' | 'grace' | 'no-grace';
}

// date time : epoch X : host : program-pid[thread] function :COMPONENT :LEVEL :text
const form =
  /^\S+ \S+ : epoch \w+ : .*? : \S+-\d+\[([^\]]*)\] (\S+) :([A-Z0-9_ ]+?) :(NULL|FATAL|MAJ|CRIT|WARN|EVENT|INFO|DEBUG|M_DBG|F_DBG) :(.*)$/;

/** Complaints of every start in a container: no D-Bus, no portmapper, no CAP_SYS_RESOURCE. None of them is used. */
const harmless = [
  'gsh_dbus_',
  'load_rados_config',
  '__Register_program',
  'getclnthandle',
  'PR_SET_IO_FLUSHER',
  'nfs_set_param_from_conf',
  'Failed to open v4 recovery dir',
  'Failed to read v4 recovery dir',
  'svc_rqst_hook_events',
];

const levels: Readonly<Record<string, GaneshaLine['level']>> = {
  FATAL: 'error',
  MAJ: 'error',
  CRIT: 'error',
  WARN: 'warn',
};

function tells(text: string): GaneshaLine['tells'] {
  if (text.includes('NFS SERVER INITIALIZED')) return 'serving';
  if (text.includes('NFS Server Now NOT IN GRACE')) return 'no-grace';
  if (text.includes('NFS Server Now IN GRACE')) return 'grace';
  return undefined;
}

/** Reads a line that ganesha wrote. What has another form (a backtrace, a library's message) is passed on as a warning. */
export function parseGaneshaLine(line: string): GaneshaLine {
  const match = form.exec(line);
  if (!match) return { level: 'warn', message: line.trim() };
  const [, , where = '', component = '', severity = '', text = ''] = match;
  const message = `${component.trim()} ${where}: ${text.trim()}`;
  const told = tells(text);
  if (told) return { level: 'info', message, tells: told };
  if (harmless.some((part) => message.includes(part))) return { level: 'debug', message };
  return { level: levels[severity] ?? 'debug', message };
}
