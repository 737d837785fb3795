/** Begins the mount IDs that stand for containers whose own IDs this plugin never saw. */
const standInPrefix = 'engine-';

interface Use {
  count: number;
  /** Recorded by an earlier process: its Unmount may have been missed. */
  readonly inherited: boolean;
}

/** The mount IDs in use of one volume on this node, each with its count: `docker cp` mounts with an ID that is in use. */
export class MountIds {
  readonly #uses = new Map<string, Use>();

  /** @param inherited what an earlier process recorded */
  constructor(inherited: Readonly<Record<string, number>> = {}) {
    for (const [id, count] of Object.entries(inherited)) this.#uses.set(id, { count, inherited: true });
  }

  get empty(): boolean {
    return this.#uses.size === 0;
  }

  /** IDs that only an earlier process saw. */
  get inherited(): string[] {
    return [...this.#uses].flatMap(([id, use]) => (use.inherited ? [id] : []));
  }

  add(id: string): void {
    const count = (this.#uses.get(id)?.count ?? 0) + 1;
    this.#uses.set(id, { count, inherited: false });
  }

  /** Counts a container that the engine runs although no ID is known for it. */
  addStandIn(containerId: string): void {
    this.#uses.set(`${standInPrefix}${containerId.slice(0, 12)}`, { count: 1, inherited: true });
  }

  /** One use less. An unknown ID takes a stand-in away. @returns whether there was anything to take. */
  drop(id: string): boolean {
    const known = this.#uses.has(id)
      ? id
      : [...this.#uses.keys()].find((key) => key.startsWith(standInPrefix));
    const use = known === undefined ? undefined : this.#uses.get(known);
    if (known === undefined || !use) return false;
    use.count -= 1;
    if (use.count === 0) this.#uses.delete(known);
    return true;
  }

  /** Takes away what only an earlier process saw. */
  dropInherited(): void {
    for (const id of this.inherited) this.#uses.delete(id);
  }

  /** For the mount record. */
  toRecord(): Record<string, number> {
    return Object.fromEntries([...this.#uses].map(([id, use]) => [id, use.count]));
  }
}
