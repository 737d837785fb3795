import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { createMemoryStore } from '../../../src/etcd/memory-store.ts';
import { systemClock as clock } from '../../../src/lib/clock.ts';
import { errorTraits } from '../../../src/lib/errors.ts';
import { silentLog as log } from '../../../src/lib/log.ts';
import { createServiceApi } from '../../../src/vdvs/service/start-service.ts';
import { documentedRoutes, renderApi } from './api-document.ts';

const file = join(import.meta.dirname, '../../../docs/vdvs-api.yaml');

describe('docs/vdvs-api.yaml', () => {
  it('tells all routes of the service and no others', async () => {
    const store = createMemoryStore({ clock });
    const app = createServiceApi({
      store,
      backends: new Map(),
      takeoverMarginMs: 0,
      nodes: async () => [],
      creatorOf: async () => undefined,
      cluster: async () => '',
      clock,
      log,
    });
    const served = app.router.stack.flatMap(({ route }) =>
      route ? route.stack.map(({ method }) => `${method.toUpperCase()} ${route.path}`) : [],
    );
    await store.close();
    expect(served.length).toBeGreaterThan(20);
    expect([...new Set(served)].sort()).toEqual(Object.keys(documentedRoutes).sort());
  });

  it('tells the forms in which the code takes and gives; `npx vitest run --project unit -u` writes it anew', async () => {
    const text = `# The API of the vDVS service. Rendered from the code's schemas by test/unit/vdvs/api-document.ts.\n${stringify(renderApi(), { aliasDuplicateObjects: false, lineWidth: 110 })}`;
    expect(parse(text)).toMatchObject({ openapi: '3.1.0' });
    await expect(text).toMatchFileSnapshot(file);
  });

  it('tells the status of every kind of error', () => {
    const { description } = renderApi().components.responses.Refused;
    for (const [code, { httpStatus }] of Object.entries(errorTraits)) {
      expect(description).toContain(`\`${code}\` ${httpStatus}`);
    }
  });
});
