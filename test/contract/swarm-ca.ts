import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A node as its certificate names it. */
export interface TestNode {
  nodeId: string;
  role: 'swarm-manager' | 'swarm-worker';
}

/** A certificate authority as Swarm's, made with the `openssl` program. */
export interface TestSwarmCa {
  /** Writes a node's three files as Swarm does (renewing them when they exist) and returns their directory. */
  issue(node: TestNode): string;
}

function openssl(args: string[]): void {
  execFileSync('openssl', args, { stdio: 'pipe' });
}

/** Makes a new authority below `dir`. */
export function createSwarmCa(dir: string, clusterId = 'cluster1'): TestSwarmCa {
  mkdirSync(dir, { recursive: true });
  const caKey = join(dir, 'ca.key');
  const caCert = join(dir, 'ca.crt');
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl([
    'req',
    '-x509',
    ...ec,
    '-keyout',
    caKey,
    '-out',
    caCert,
    '-subj',
    '/CN=swarm-ca',
    '-days',
    '3650',
  ]);
  return {
    issue: ({ nodeId, role }) => {
      const out = join(dir, nodeId);
      mkdirSync(out, { recursive: true });
      const names = [role, nodeId, ...(role === 'swarm-manager' ? ['swarm-ca'] : [])].map(
        (name) => `DNS:${name}`,
      );
      const extensions = join(out, 'extensions');
      writeFileSync(
        extensions,
        `subjectAltName=${names.join(',')}\nextendedKeyUsage=serverAuth,clientAuth\n`,
      );
      const [key, request, cert] = [join(out, 'new.key'), join(out, 'request'), join(out, 'new.crt')];
      openssl([
        'req',
        '-new',
        ...ec,
        '-keyout',
        key,
        '-out',
        request,
        '-subj',
        `/O=${clusterId}/OU=${role}/CN=${nodeId}`,
      ]);
      openssl([
        'x509',
        '-req',
        '-in',
        request,
        '-CA',
        caCert,
        '-CAkey',
        caKey,
        '-CAcreateserial',
        '-days',
        '90',
        '-out',
        cert,
        '-extfile',
        extensions,
      ]);
      if (role === 'swarm-manager') {
        const headers = 'kek-version: 0\nraft-dek: EiAKIBY7QLkvPb1nSs8Gr8bP8tGqJ9kIyPp5uOZ2yQ==\n\n';
        writeFileSync(key, readFileSync(key, 'utf8').replace(/(-----BEGIN [A-Z ]+-----\n)/, `$1${headers}`));
      }
      writeFileSync(join(out, 'swarm-root-ca.crt'), readFileSync(caCert));
      renameSync(key, join(out, 'swarm-node.key'));
      renameSync(cert, join(out, 'swarm-node.crt'));
      return out;
    },
  };
}
