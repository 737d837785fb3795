import addCompletionOf from '@bomb.sh/tab/commander';
import type { Command } from 'commander';

/** Adds `vdvs complete SHELL`, which prints what a shell needs to complete commands and options. Last: it looks at all others. */
export function addCompletion(program: Command): void {
  addCompletionOf(program);
  program.commands
    .find((command) => command.name() === 'complete')
    ?.description('prints completion for a shell')
    .addHelpText('after', '\nExample:\n  source <(vdvs complete bash)');
}
