/** Says how far something is, in a few words. */
export type Say = (text: string) => void;

/** One part of a longer command. */
export interface Step {
  readonly title: string;
  run(say: Say): Promise<void>;
}

/** Runs steps one after the other and shows them; ends at the first that fails. */
export type StepRunner = (steps: readonly Step[]) => Promise<void>;

/** One line for each step and each thing it says, with the seconds since the first. For logs and tests. */
export function plainSteps(write: (line: string) => void): StepRunner {
  const began = performance.now();
  const line = (text: string) =>
    write(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${text}`);
  return async (steps) => {
    for (const [at, step] of steps.entries()) {
      line(`[${at + 1}/${steps.length}] ${step.title}`);
      await step.run((text) => line(`      ${text}`));
    }
    line('done');
  };
}

/** A live list, for people at a terminal. */
export const terminalSteps: StepRunner = async (steps) => {
  // Loaded only here: it takes longer than most of the lab's commands.
  const { Listr } = await import('listr2');
  const tasks = steps.map((step) => ({
    title: step.title,
    task: async (_: unknown, task: { output: string }) => {
      await step.run((text) => {
        task.output = text;
      });
    },
  }));
  await new Listr(tasks, { renderer: 'default', registerSignalListeners: false }).run();
};

/** Shows nothing. */
export const silentSteps: StepRunner = async (steps) => {
  for (const step of steps) await step.run(() => {});
};
