import type { Command } from 'commander';
import { renderConfig, renderPolicies, renderStatus } from './render.ts';
import { branch, type CommonOptions, leaf, requireConsent, type Shell, show, tellDone } from './terminal.ts';

const inEtcd = 'rules are in etcd on the managers: every manager has them, no datastore needs to';

/** `vdvs policy ...` */
export function addPolicyCommands(program: Command, shell: Shell): void {
  const policy = branch(program, 'policy', 'storage policies, for datastores that have some', [
    'vdvs policy create --name=gold --content=\'(("hostFailuresToTolerate" i1))\'',
    'vdvs policy ls',
  ]);
  leaf(policy, 'create', 'makes a policy that volumes can be created with (-o policy=NAME)', [
    'vdvs policy create --name=gold --content=\'(("hostFailuresToTolerate" i1))\'',
  ])
    .requiredOption('--name <policy>', 'its name')
    .requiredOption('--content <text>', 'what the datastore understands')
    .action(async (options: CommonOptions & { name: string; content: string }) => {
      await (await shell.client()).createPolicy(options.name, options.content);
      tellDone(shell, options, `policy ${options.name} created`);
    });
  leaf(policy, 'ls', 'all policies', ['vdvs policy ls']).action(async (options: CommonOptions) => {
    show(shell, options, await (await shell.client()).policies(), renderPolicies);
  });
  leaf(policy, 'update', 'changes the content of a policy', [
    'vdvs policy update --name=gold --content=\'(("hostFailuresToTolerate" i2))\'',
  ])
    .requiredOption('--name <policy>', 'the policy')
    .requiredOption('--content <text>', 'what the datastore understands')
    .action(async (options: CommonOptions & { name: string; content: string }) => {
      await (await shell.client()).updatePolicy(options.name, options.content);
      tellDone(shell, options, `policy ${options.name} updated`);
    });
  leaf(policy, 'rm', 'removes a policy that no volume has', ['vdvs policy rm --name=gold --yes'])
    .requiredOption('--name <policy>', 'the policy')
    .option('-y, --yes', 'without asking')
    .action(async (options: CommonOptions & { name: string }) => {
      await requireConsent(shell, options, `policy ${options.name} is removed.`);
      await (await shell.client()).removePolicy(options.name);
      tellDone(shell, options, `policy ${options.name} removed`);
    });
}

/** `vdvs config ...` and `vdvs status`. */
export function addConfigCommands(program: Command, shell: Shell): void {
  const config = branch(program, 'config', 'the rules as a whole', [
    'vdvs config status',
    'vdvs config init',
    'vdvs config rm --yes',
  ]);
  leaf(config, 'init', 'writes down the rules that hold without any: everybody may do everything', [
    'vdvs config init',
  ])
    .option('--local', 'of the earlier command line; means nothing here')
    .option('--datastore <name>', 'of the earlier command line; means nothing here')
    .action(async (options: CommonOptions & { local?: boolean; datastore?: string }) => {
      if (options.local || options.datastore !== undefined) shell.warn(inEtcd);
      await (await shell.client()).initConfig();
      tellDone(shell, options, 'rules written');
    });
  leaf(config, 'rm', 'takes all rules away: vmgroups, access rights, policies', ['vdvs config rm --yes'])
    .option('-y, --yes', 'without asking')
    .option('--confirm', 'the same')
    .option('--local', 'of the earlier command line; means nothing here')
    .action(async (options: CommonOptions & { confirm?: boolean }) => {
      const agreed = { ...options, yes: (options.yes ?? false) || (options.confirm ?? false) };
      await requireConsent(shell, agreed, 'All vmgroups, access rights and policies are removed.');
      await (await shell.client()).removeConfig();
      tellDone(shell, options, 'all rules removed');
    });
  leaf(config, 'mv', 'of the earlier command line; there is nothing to move here', [
    'vdvs config mv --to=fast',
  ])
    .option('--to <datastore>', 'means nothing here')
    .option('--force', 'means nothing here')
    .action((options: CommonOptions) => tellDone(shell, options, `nothing was moved: ${inEtcd}`));
  leaf(config, 'status', 'whether rules are set', ['vdvs config status --json']).action(
    async (options: CommonOptions) => {
      show(shell, options, await (await shell.client()).config(), renderConfig);
    },
  );
  leaf(program, 'status', 'the service at one look', ['vdvs status']).action(
    async (options: CommonOptions) => {
      show(shell, options, await (await shell.client()).status(), renderStatus);
    },
  );
}
