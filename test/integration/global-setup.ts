import { buildPrograms } from './build-programs.ts';

/** Bundles once for all files: they run side by side, and none may find a bundle that another one is just writing. */
export function setup(): void {
  buildPrograms();
}
