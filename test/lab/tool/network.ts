import { existsSync, readFileSync } from 'node:fs';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { run } from '../../../src/lib/exec.ts';
import { type HostSpec, labAddress } from './host-spec.ts';
import { netnsExists } from './paths.ts';

const bridge = 'lab0';
/** Says that it was a lab that had the machine's folder of namespaces mounted. */
const folderMark = '/run/vfile-lab-netns';
const linkSchema = z.array(z.object({ ifname: z.string(), master: z.string().optional() }));

/**
 * The network of a lab: a namespace without any way out, in it a bridge for the hosts and, for each host, a wire of
 * its own to the lab. The namespace is what isolates labs from one another and from the machine.
 */
export class LabNetwork {
  readonly #netns: string;

  constructor(netns: string) {
    this.#netns = netns;
  }

  /** Makes the namespace, the bridge and all wires. Harmless when they exist. */
  async create(hosts: readonly HostSpec[]): Promise<void> {
    if (!netnsExists(this.#netns)) await this.#addNamespace();
    const have = new Set((await this.#links()).map((link) => link.ifname));
    const lines = ['link set lo up'];
    if (!have.has(bridge)) {
      lines.push(
        `link add ${bridge} type bridge stp_state 0 forward_delay 0`,
        `address add ${labAddress}/24 dev ${bridge}`,
        `link set ${bridge} up`,
      );
    }
    for (const host of hosts.filter((each) => !have.has(each.tap))) {
      lines.push(
        `tuntap add dev ${host.tap} mode tap`,
        `link set ${host.tap} master ${bridge} up`,
        `tuntap add dev ${host.managementTap} mode tap`,
        `address add ${host.managementPeer}/30 dev ${host.managementTap}`,
        `link set ${host.managementTap} up`,
      );
    }
    await run('ip', ['-n', this.#netns, '-batch', '-'], {
      timeoutMs: 20_000,
      input: `${lines.join('\n')}\n`,
    });
  }

  /** Removes everything; harmless when there is nothing. */
  async remove(): Promise<void> {
    if (!netnsExists(this.#netns)) return;
    await run('ip', ['netns', 'delete', this.#netns], { timeoutMs: 10_000 });
    await this.#dropNamespaceFolder();
  }

  /** Takes the host off the network it shares with the others. */
  async cut(host: HostSpec): Promise<void> {
    await this.#ip('link', 'set', host.tap, 'nomaster');
  }

  /** Gives the host its network back. */
  async mend(host: HostSpec): Promise<void> {
    await this.#ip('link', 'set', host.tap, 'master', bridge);
  }

  /** Names of the taps that are not on the bridge. */
  async cutTaps(): Promise<ReadonlySet<string>> {
    if (!netnsExists(this.#netns)) return new Set();
    const links = await this.#links();
    return new Set(links.filter((link) => link.master !== bridge).map((link) => link.ifname));
  }

  async #addNamespace(): Promise<void> {
    const first = !/ \/run\/netns /.test(readFileSync('/proc/mounts', 'utf8'));
    await run('ip', ['netns', 'add', this.#netns], { timeoutMs: 10_000 });
    if (first) await writeFile(folderMark, '');
  }

  /** The first namespace on a machine makes `ip` mount its folder onto itself. Whoever had that made removes it. */
  async #dropNamespaceFolder(): Promise<void> {
    if (!existsSync(folderMark)) return;
    if ((await readdir('/run/netns')).length > 0) return;
    await rm(folderMark);
    await run('umount', ['/run/netns'], { timeoutMs: 10_000 });
  }

  async #links(): Promise<z.infer<typeof linkSchema>> {
    const { stdout } = await this.#ip('-json', 'link', 'show');
    return linkSchema.parse(JSON.parse(stdout));
  }

  #ip(...args: string[]) {
    return run('ip', ['-n', this.#netns, ...args], { timeoutMs: 10_000 });
  }
}
