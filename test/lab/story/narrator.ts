import Table from 'cli-table3';
import pc from 'picocolors';

/** One measured figure of the closing table. */
export interface Figure {
  readonly what: string;
  readonly value: string;
  /** What it is held against; '' for nothing. */
  readonly target: string;
  readonly met: boolean | undefined;
}

/** Tells a story on the terminal: what is done, how long it took, and a table at the end. */
export class Narrator {
  readonly figures: Figure[] = [];
  readonly #write: (line: string) => void;
  readonly #began = performance.now();

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  /** The heading of an act. */
  act(title: string): void {
    this.#write(`\n${this.#clock()}  ${pc.bold(title)}`);
  }

  /** Something that is so. */
  say(text: string): void {
    this.#write(`${this.#clock()}    ${text}`);
  }

  /** A command as a user would type it. */
  command(host: string, text: string): void {
    this.#write(`${this.#clock()}    ${pc.cyan(`${host}$ ${text}`)}`);
  }

  /** Does `work`, says what it is and how long it took. @returns its result and the time in ms. */
  async timed<T>(what: string, work: () => Promise<T>): Promise<{ value: T; ms: number }> {
    const began = performance.now();
    const value = await work();
    const ms = performance.now() - began;
    this.say(`${pc.green('✓')} ${what} ${pc.dim(`(${seconds(ms)})`)}`);
    return { value, ms };
  }

  /** Keeps a figure for the table. `most` is its target in the unit of `value`. */
  figure(what: string, ms: number, mostMs?: number): void {
    const target = mostMs === undefined ? '' : `<= ${seconds(mostMs)}`;
    this.figures.push({
      what,
      value: seconds(ms),
      target,
      met: mostMs === undefined ? undefined : ms <= mostMs,
    });
  }

  /** Keeps a count for the table; `wanted` is the only right one. */
  count(what: string, value: number, wanted?: number): void {
    const target = wanted === undefined ? '' : String(wanted);
    this.figures.push({
      what,
      value: String(value),
      target,
      met: wanted === undefined ? undefined : value === wanted,
    });
  }

  /** Writes the table of all figures. */
  table(title: string): void {
    const table = new Table({ head: [title, 'measured', 'target', ''], style: { head: [], border: [] } });
    for (const { what, value, target, met } of this.figures) {
      table.push([what, value, target, met === undefined ? '' : met ? pc.green('met') : pc.red('missed')]);
    }
    this.#write(`\n${table.toString()}`);
  }

  #clock(): string {
    return pc.dim(`${((performance.now() - this.#began) / 1000).toFixed(1).padStart(6)} s`);
  }
}

/** A time for humans. */
export function seconds(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}
