import type { Command } from 'commander';
import { addAccessCommands } from './access-commands.ts';
import { renderGroups, renderHosts } from './render.ts';
import {
  branch,
  type CommonOptions,
  findGroup,
  leaf,
  parseList,
  requireConsent,
  type Shell,
  show,
  tellDone,
} from './terminal.ts';

type Named = CommonOptions & { name: string };

function addHostCommands(group: Command, shell: Shell): void {
  const vm = branch(group, 'vm', 'the Docker hosts of a vmgroup, by host name or node ID', [
    'vdvs vmgroup vm add --name=Dev --vm-list=host1,host2',
    'vdvs vmgroup vm ls --name=Dev',
  ]);
  const changes = {
    add: 'adds hosts; one with volumes attached cannot change its vmgroup',
    rm: 'takes hosts out; they are in _DEFAULT then',
    replace: 'makes these the hosts of the vmgroup',
  } as const;
  for (const change of ['add', 'rm', 'replace'] as const) {
    leaf(vm, change, changes[change], [`vdvs vmgroup vm ${change} --name=Dev --vm-list=host1,host2`])
      .requiredOption('--name <vmgroup>', 'the vmgroup')
      .requiredOption('--vm-list <host,...>', 'the hosts')
      .action(async (options: Named & { vmList: string }) => {
        const hosts = parseList(options.vmList);
        await (await shell.client()).changeMembers(options.name, { change, hosts });
        tellDone(shell, options, `vmgroup ${options.name}: hosts changed`);
      });
  }
  leaf(vm, 'ls', 'hosts of a vmgroup', ['vdvs vmgroup vm ls --name=Dev'])
    .requiredOption('--name <vmgroup>', 'the vmgroup')
    .action(async (options: Named) => {
      const { hosts } = findGroup(await (await shell.client()).groups(), options.name);
      show(shell, options, hosts, renderHosts);
    });
}

/** `vdvs vmgroup ...` */
export function addGroupCommands(program: Command, shell: Shell): void {
  const group = branch(program, 'vmgroup', 'tenants: sets of Docker hosts with volumes of their own', [
    'vdvs vmgroup create --name=Dev --default-datastore=default --vm-list=host1,host2',
    'vdvs vmgroup access set --name=Dev --datastore=default --volume-totalsize=100gb',
    'vdvs vmgroup ls',
  ]);
  leaf(group, 'create', 'makes a vmgroup that may do everything on its default datastore', [
    'vdvs vmgroup create --name=Dev --default-datastore=default --vm-list=host1,host2',
  ])
    .requiredOption('--name <vmgroup>', 'its name')
    .requiredOption(
      '--default-datastore <datastore>',
      "for volumes named without one; _VM_DS: the hosts' own",
    )
    .option('--vm-list <host,...>', 'its hosts')
    .option('--description <text>', 'for people')
    .option('--id <id>', 'of a lost vmgroup whose volumes are there still')
    .action(
      async (
        options: Named & { defaultDatastore: string; vmList?: string; description?: string; id?: string },
      ) => {
        await (await shell.client()).createGroup({
          name: options.name,
          defaultDatastore: options.defaultDatastore,
          hosts: parseList(options.vmList),
          ...(options.description === undefined ? {} : { description: options.description }),
          ...(options.id === undefined ? {} : { id: options.id }),
        });
        tellDone(shell, options, `vmgroup ${options.name} created`);
      },
    );
  leaf(group, 'ls', 'all vmgroups', ['vdvs vmgroup ls', 'vdvs vmgroup ls --json']).action(
    async (options: CommonOptions) => {
      show(shell, options, await (await shell.client()).groups(), renderGroups);
    },
  );
  leaf(group, 'update', 'changes a vmgroup; its volumes stay its volumes', [
    'vdvs vmgroup update --name=Dev --new-name=Test --default-datastore=fast',
  ])
    .requiredOption('--name <vmgroup>', 'the vmgroup')
    .option('--new-name <vmgroup>', 'its name from now on')
    .option('--description <text>', 'for people')
    .option('--default-datastore <datastore>', 'for volumes named without one')
    .action(
      async (options: Named & { newName?: string; description?: string; defaultDatastore?: string }) => {
        const { newName, description, defaultDatastore } = options;
        await (await shell.client()).updateGroup(options.name, { newName, description, defaultDatastore });
        tellDone(shell, options, `vmgroup ${options.name} updated`);
      },
    );
  leaf(group, 'rm', 'removes a vmgroup; without _DEFAULT all hosts that are in no other are locked out', [
    'vdvs vmgroup rm --name=Dev',
    'vdvs vmgroup rm --name=Dev --remove-volumes --yes',
  ])
    .requiredOption('--name <vmgroup>', 'the vmgroup')
    .option('--remove-volumes', 'its volumes too, with all that is on them')
    .option('-y, --yes', 'without asking')
    .option('--force', 'the same')
    .action(async (options: Named & { removeVolumes?: boolean; force?: boolean }) => {
      const removeVolumes = options.removeVolumes ?? false;
      const what = removeVolumes ? 'is removed with ALL DATA on its volumes.' : 'is removed.';
      const agreed = { ...options, yes: (options.yes ?? false) || (options.force ?? false) };
      await requireConsent(shell, agreed, `vmgroup ${options.name} ${what}`);
      await (await shell.client()).removeGroup(options.name, removeVolumes);
      tellDone(shell, options, `vmgroup ${options.name} removed`);
    });
  addHostCommands(group, shell);
  addAccessCommands(group, shell);
}
