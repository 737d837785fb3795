import { type Express, type Request, type Response, Router } from 'express';
import {
  accessRequestSchema,
  adminPrefix,
  groupCreateSchema,
  groupUpdateSchema,
  membersSchema,
  policyCreateSchema,
  policyUpdateSchema,
  volumeSetSchema,
} from '../admin-api.ts';
import type { AdminConfig } from './admin-config.ts';
import type { AdminGroups } from './admin-groups.ts';
import type { AdminVolumes } from './admin-volumes.ts';
import { bodyOf, callerNode, pathPart, requireManager } from './http-request.ts';

/** The administrator's part of the API. */
export interface AdminRoutes {
  mount(app: Express): void;
}

const flag = (request: Request, name: string) => request.query[name] === 'true';

/** Routes that need a manager's certificate. */
export function createAdminRoutes(parts: {
  readonly groups: AdminGroups;
  readonly volumes: AdminVolumes;
  readonly config: AdminConfig;
}): AdminRoutes {
  const { groups, volumes, config } = parts;
  /** Something to do that has nothing to tell. */
  const done = (act: (request: Request) => Promise<void>) => async (request: Request, response: Response) => {
    await act(request);
    response.json({});
  };
  const group = (request: Request) => pathPart(request, 'vmgroup');
  const datastore = (request: Request) => pathPart(request, 'datastore');
  const policy = (request: Request) => pathPart(request, 'policy');

  return {
    mount(app) {
      const own = Router();
      own.use((request, _response, next) => {
        requireManager(request);
        next();
      });
      app.use(adminPrefix, own);
      const at = (path: string) => `${adminPrefix}${path}`;

      app.get(at('/status'), async (request, response) => {
        response.json(await config.status(callerNode(request)));
      });
      app.get(at('/volumes'), async (request, response) => {
        const { vmgroup } = request.query;
        const only = typeof vmgroup === 'string' ? vmgroup : undefined;
        response.json({ volumes: await volumes.list(only, flag(request, 'usage')) });
      });
      app.post(
        at('/volumes/:datastore/:name'),
        done(async (request) => {
          const { vmgroup, options } = bodyOf(volumeSetSchema, request);
          const named = { datastore: datastore(request), name: pathPart(request, 'name') };
          await volumes.set(named, vmgroup, options);
        }),
      );

      app.get(at('/vmgroups'), async (_request, response) => {
        response.json({ vmgroups: await groups.list() });
      });
      app.post(
        at('/vmgroups'),
        done((request) => groups.create(bodyOf(groupCreateSchema, request))),
      );
      app.post(
        at('/vmgroups/:vmgroup'),
        done((request) => groups.update(group(request), bodyOf(groupUpdateSchema, request))),
      );
      app.delete(
        at('/vmgroups/:vmgroup'),
        done((request) => groups.remove(group(request), flag(request, 'removeVolumes'))),
      );
      app.post(
        at('/vmgroups/:vmgroup/vms'),
        done((request) => groups.changeMembers(group(request), bodyOf(membersSchema, request))),
      );
      const access = at('/vmgroups/:vmgroup/access/:datastore');
      app.post(
        access,
        done((request) =>
          groups.changeAccess(group(request), datastore(request), bodyOf(accessRequestSchema, request)),
        ),
      );
      app.delete(
        access,
        done((request) => groups.removeAccess(group(request), datastore(request))),
      );

      app.get(at('/policies'), async (_request, response) => {
        response.json({ policies: await config.policies() });
      });
      app.post(
        at('/policies'),
        done(async (request) => {
          const { name, content } = bodyOf(policyCreateSchema, request);
          await config.createPolicy(name, content);
        }),
      );
      app.post(
        at('/policies/:policy'),
        done((request) => config.updatePolicy(policy(request), bodyOf(policyUpdateSchema, request).content)),
      );
      app.delete(
        at('/policies/:policy'),
        done((request) => config.removePolicy(policy(request))),
      );

      app.get(at('/config'), async (_request, response) => {
        response.json(await config.config());
      });
      app.post(
        at('/config'),
        done(() => config.init()),
      );
      app.delete(
        at('/config'),
        done(() => config.clear()),
      );
    },
  };
}
