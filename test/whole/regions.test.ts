import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { readService } from '../../client/configuration/configuration.js';
import type { Outcome } from '../../domain/deployment.js';
import { setUpPublicCloud } from '../../sandbox/control-panel.js';
import { startDataPlane } from '../../sandbox/data-plane/embedded-data-plane.js';
import { startLoad } from '../../sandbox/load.js';
import { startOvhApi } from '../../sandbox/ovh-api/ovh-api.js';
import { hastyApi, lost } from './support/running-service.js';
import { test } from './support/running-sandbox.js';
import { takeTurns } from './support/turns.js';

vi.setConfig({ testTimeout: 180_000 });
takeTurns();

describe('a service with two load balancers', () => {
  test('of two products is moved at both without losing a request, taken back at both, and moved by hand', async ({
    aSandbox,
    onTestFinished,
  }) => {
    const directory = await mkdtemp(join(tmpdir(), 'verdigris-region-'));
    // Where the worker and the command keep what they have on record.
    vi.stubEnv('XDG_STATE_HOME', join(directory, 'state'));
    const dataPlane = startDataPlane();
    const api = await startOvhApi({
      directory,
      behaviour: hastyApi,
    });
    onTestFinished(async () => {
      await api.close();
      await dataPlane.close();
      vi.unstubAllEnvs();
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
    const { ids, section } = await setUpPublicCloud(api, dataPlane, places);
    const url = `http://127.0.0.1:${dataPlane.portOf(ids.frontend)}`;
    const { loadBalancer, publicAddress, ...rest } = parse(await readFile(sandbox.serviceFile, 'utf8')) as {
      readonly loadBalancer: object;
      readonly publicAddress: { readonly identify: object };
    };
    const sbg = {
      ...section,
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
    const start = async (version: string) => running.start(await running.build(version), version, service);
    const handle = await start('2.0.0');
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
    const served = () => Promise.all([sandbox.publicUrl, url].map(versionAt));
    expect(await served()).toEqual(['2.0.0', '2.0.0']);

    expect(await running.verdigris(['rollback'])).toMatchObject({ exitCode: 0 });
    expect(await served()).toEqual(['1.0.0', '1.0.0']);

    const byHand = await running.switchByHand('green', ['--by', 'bea']);
    expect([byHand.exitCode, await served()]).toEqual([0, ['2.0.0', '2.0.0']]);
    expect(byHand.output).toMatch(
      /on each of 2 load balancers, one after the other[\s\S]*Switched \S+ to green[\s\S]*between the first load balancer and the last: \d/,
    );
    // What runs on blue was put there by somebody else: a deployment to it would be refused.
    expect(await running.switchByHand('blue', ['--by', 'bea'])).toMatchObject({ exitCode: 0 });
    expect(await served()).toEqual(['1.0.0', '1.0.0']);
    await start('3.0.0');
    const { plan } = await running.untilStage('approve', 'ended');
    expect(plan).toMatchObject({ live: 'blue', idle: 'green' });
    expect(plan?.warnings.join()).toMatch(/made by hand, without Temporal: green -> blue by bea/);
    await running.send('reject', { by: 'ann' });
    expect((await running.handle.result()) as Outcome).toMatchObject({ kind: 'rejected' });
    for (const load of loads) {
      const tally = await load.stop();
      expect(lost(tally), JSON.stringify(tally)).toBe(0);
    }
  });
});

const versionAt = async (address: string): Promise<string | null> =>
  (await fetch(new URL('/version', address), { headers: { connection: 'close' } })).headers.get(
    'x-greeter-version',
  );
