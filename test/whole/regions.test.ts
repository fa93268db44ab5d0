import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { readService } from '../../client/configuration/configuration.js';
import type { Outcome } from '../../domain/deployment.js';
import { workflowIdOf } from '../../domain/names.js';
import { provision } from '../../sandbox/control-panel.js';
import { startDataPlane } from '../../sandbox/data-plane/embedded-data-plane.js';
import { startLoad } from '../../sandbox/load.js';
import { startOvhApi } from '../../sandbox/ovh-api/ovh-api.js';
import { workflowTypes } from '../../workflows/messages.js';
import { hastyApi, lost } from './support/running-service.js';
import { test } from './support/running-sandbox.js';
import { takeTurns } from './support/turns.js';

vi.setConfig({ testTimeout: 180_000 });
takeTurns();

describe('a service with two load balancers', () => {
  test('is moved at both without losing a request, and taken back at both', async ({
    aSandbox,
    onTestFinished,
  }) => {
    const directory = await mkdtemp(join(tmpdir(), 'verdigris-region-'));
    const dataPlane = startDataPlane();
    const api = await startOvhApi({
      directory,
      dataPlane,
      serviceName: 'loadbalancer-00000000000000000000000000000002',
      behaviour: hastyApi,
    });
    onTestFinished(async () => {
      await api.close();
      await dataPlane.close();
      await rm(directory, { recursive: true });
    });
    const { applicationKey, applicationSecret, consumerKey } = api.credentials;
    const running = await aSandbox({
      serversPerEnvironment: 1,
      trust: await readFile(api.caFile, 'utf8'),
      secrets: { 'sbg-key': applicationKey, 'sbg-secret': applicationSecret, 'sbg-consumer': consumerKey },
    });
    const { sandbox } = running;
    const places = sandbox.servers.map(({ name, color, port }) => ({
      name,
      color,
      port,
      address: '127.0.0.1',
    }));
    const { frontend, stagingFrontend, farms } = await provision(api, places);
    const url = `http://127.0.0.1:${dataPlane.portOf(frontend)}`;
    const { loadBalancer, publicAddress, ...rest } = parse(await readFile(sandbox.serviceFile, 'utf8')) as {
      readonly loadBalancer: object;
      readonly publicAddress: { readonly identify: object };
    };
    const sbg = {
      driver: 'ovh-iplb',
      serviceName: api.serviceName,
      frontends: [frontend],
      stagingFrontend,
      farms: { ...farms },
      api: {
        endpoint: api.url,
        applicationKey: 'secret:sbg-key',
        applicationSecret: 'secret:sbg-secret',
        consumerKey: 'secret:sbg-consumer',
      },
    };
    const regions = [
      { name: 'gra', loadBalancer, publicAddress },
      { name: 'sbg', loadBalancer: sbg, publicAddress: { ...publicAddress, url } },
    ];
    await writeFile(sandbox.serviceFile, stringify({ ...rest, regions }, { aliasDuplicateObjects: false }));
    const service = readService(sandbox.serviceFile);

    const loads = [
      running.visitors(),
      startLoad({ url, requestsPerSecond: 25, streamPath: '/stream?seconds=2', timeoutMs: 20_000 }),
    ];
    const built = await running.build('2.0.0');
    const handle = await running.client.workflow.start(workflowTypes.deployment, {
      workflowId: workflowIdOf(service.id),
      taskQueue: running.taskQueue,
      args: [
        {
          service,
          artifact: { url: pathToFileURL(built.archive).href, sha256: built.sha256 },
          requestedBy: 'a test',
          version: '2.0.0',
          searchAttributes: true,
        },
      ],
    });
    await running.untilStage('approve', 'ended');
    await running.send('approve', { by: 'ann' });
    expect((await handle.result()) as Outcome).toMatchObject({
      kind: 'promoted',
      live: 'green',
      tally: { failed: 0 },
      notes: expect.arrayContaining([
        expect.stringMatching(/moved one after the other \(gra in .* s, sbg in /),
      ]),
    });
    const servedBy = async (at: string) =>
      (await fetch(new URL('/version', at), { headers: { connection: 'close' } })).headers.get(
        'x-greeter-version',
      );
    expect([await servedBy(sandbox.publicUrl), await servedBy(url)]).toEqual(['2.0.0', '2.0.0']);

    expect(await running.verdigris(['rollback'])).toMatchObject({ exitCode: 0 });
    expect([await servedBy(sandbox.publicUrl), await servedBy(url)]).toEqual(['1.0.0', '1.0.0']);
    for (const load of loads) {
      const tally = await load.stop();
      expect(lost(tally), JSON.stringify(tally)).toBe(0);
    }
  });
});
