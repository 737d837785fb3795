/** Whether the process was started only to be loaded, see `endIfLoadOnly`; for what must be done before everything is. */
export function isLoadOnly(): boolean {
  return process.env.VFILE_LOAD_ONLY === '1';
}

/**
 * Ends the process when it was started only to be loaded (`VFILE_LOAD_ONLY=1`): so the images are made with the compiled
 * code beside the programs (`NODE_COMPILE_CACHE`), and a start need not compile it again. Called once everything is loaded
 * and before anything is done.
 */
export function endIfLoadOnly(): void {
  if (isLoadOnly()) process.exit(0);
}
