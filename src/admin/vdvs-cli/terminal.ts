import type { Command } from 'commander';
import { VolumeError } from '../../lib/errors.ts';
import type { GroupView } from '../../vdvs/admin-api.ts';
import type { VdvsAdminClient } from './client.ts';

/** What the command line needs. */
export interface Terminal {
  /** A client of the manager that the user named, or of the one on this node. */
  readonly connect: (manager: string | undefined) => Promise<VdvsAdminClient>;
  /** Writes one text and a line end to standard output. */
  readonly print: (text: string) => void;
  /** The same to standard error. */
  readonly warn: (text: string) => void;
  /** Asks yes or no; `undefined` when nobody is there to answer. */
  readonly confirm: (question: string) => Promise<boolean | undefined>;
}

/** What every group of commands gets. */
export interface Shell extends Terminal {
  readonly client: () => Promise<VdvsAdminClient>;
}

/** Options that every command has. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly yes?: boolean;
}

/** A command that holds others; without one of them it shows its help. */
export function branch(
  parent: Command,
  name: string,
  description: string,
  examples: readonly string[],
): Command {
  return parent.command(name).description(description).addHelpText('after', exampleText(examples));
}

/** A command that does something. */
export function leaf(
  parent: Command,
  name: string,
  description: string,
  examples: readonly string[],
): Command {
  return parent
    .command(name)
    .description(description)
    .option('--json', 'print JSON')
    .addHelpText('after', exampleText(examples));
}

/** The examples at the end of a help text. */
export function exampleText(examples: readonly string[]): string {
  return `\n${examples.length > 1 ? 'Examples' : 'Example'}:\n${examples.map((line) => `  ${line}`).join('\n')}`;
}

/** Shows what was asked for, as a table or as JSON. */
export function show<T>(shell: Shell, options: CommonOptions, data: T, render: (data: T) => string): void {
  shell.print(options.json ? JSON.stringify(data, undefined, 2) : render(data));
}

/** Tells that something was done. */
export function tellDone(shell: Shell, options: CommonOptions, message: string): void {
  show(shell, options, { done: message }, ({ done }) => done);
}

/** @throws VolumeError `invalid` unless the user agrees, beforehand (`--yes`) or now. */
export async function requireConsent(shell: Shell, options: CommonOptions, what: string): Promise<void> {
  if (options.yes) return;
  const answer = await shell.confirm(`${what} Go on?`);
  if (answer) return;
  throw new VolumeError(
    'invalid',
    answer === undefined ? `${what} Confirm with --yes.` : 'nothing was changed',
  );
}

/** `true` and `false` in the ways that people write them. @throws VolumeError `invalid`. */
export function parseBoolean(option: string, value: string | boolean | undefined): boolean | undefined {
  if (value === undefined || typeof value === 'boolean') return value;
  if (/^(true|yes|1)$/i.test(value)) return true;
  if (/^(false|no|0)$/i.test(value)) return false;
  throw new VolumeError('invalid', `option ${option}: "${value}" is not possible; valid: true, false`);
}

/** `a,b` as a list. */
export function parseList(text: string | undefined): string[] {
  return (text ?? '')
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '');
}

/** @throws VolumeError `not_found` naming the groups that there are. */
export function findGroup(groups: readonly GroupView[], name: string): GroupView {
  const group = groups.find((one) => one.name === name);
  if (group) return group;
  const there = groups.map((one) => one.name).join(', ') || 'none';
  throw new VolumeError('not_found', `vmgroup ${name} does not exist; there are: ${there}`);
}
