import { join } from 'node:path';

/** How to start the Docker command line of the hosts' tree on this machine, against one engine's socket. */
export interface DockerCommand {
  readonly file: string;
  readonly args: string[];
  readonly env: Readonly<Record<string, string>>;
}

/**
 * The tree's own `docker`, started through the tree's dynamic linker: no Docker needs to be installed here, and paths
 * in its arguments are this machine's.
 * @param config A folder for the command line's configuration, so that the user's own is left alone.
 */
export function dockerCommand(
  tree: string,
  config: string,
  socket: string,
  args: readonly string[],
): DockerCommand {
  return {
    file: join(tree, 'lib64/ld-linux-x86-64.so.2'),
    args: ['--library-path', join(tree, 'usr/lib/x86_64-linux-gnu')]
      .concat([join(tree, 'usr/bin/docker'), '-H', `unix://${socket}`])
      .concat(args),
    env: {
      DOCKER_CONFIG: config,
      DOCKER_BUILDKIT: '0',
      DOCKER_HIDE_LEGACY_COMMANDS: '',
      DOCKER_CLI_HINTS: 'false',
    },
  };
}
