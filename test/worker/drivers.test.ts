import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { expect, test } from 'vitest';
import { SecretName, ServiceId } from '../../domain/names.js';
import type { Service } from '../../domain/service.js';
import { endless } from '../../drivers/patience.js';
import { createAgents } from '../../worker/agents.js';
import { readWorkerConfiguration } from '../../worker/configuration.js';
import { WorkerDrivers } from '../../worker/drivers.js';
import { createSecrets } from '../../worker/secrets.js';
import { anIplb } from '../drivers/load-balancers/ovh-iplb-world.js';

test('a worker takes a key that was put in place of a revoked one, without a restart', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'verdigris-rotation-'));
  const world = await anIplb();
  const { account } = world.emulator.admin;
  const { applicationKey, applicationSecret, consumerKey } = world.emulator.credentials;
  const put = (name: string, value: string) => writeFile(join(directory, name), value, { mode: 0o600 });
  const names = { applicationKey, applicationSecret, consumerKey };
  for (const [name, value] of Object.entries(names)) await put(name, value);
  const secrets = Object.fromEntries(
    Object.entries({ ak: 'applicationKey', as: 'applicationSecret', ck: 'consumerKey' }).map(
      ([name, file]) => [name, { file, services: ['*'], hosts: ['127.0.0.1'] }],
    ),
  );
  const workerFile = join(directory, 'worker.yaml');
  await writeFile(workerFile, JSON.stringify({ secrets, trust: world.emulator.caFile }));
  const configuration = readWorkerConfiguration(workerFile);
  const drivers = new WorkerDrivers(
    configuration,
    createSecrets(configuration.secrets, workerFile),
    createAgents(configuration.agents, workerFile),
    pino({ level: 'silent' }),
  );
  const named = (name: string) => ({ secret: SecretName(name) });
  const api = {
    endpoint: world.emulator.url,
    applicationKey: named('ak'),
    applicationSecret: named('as'),
    consumerKey: named('ck'),
  };
  const of = (color: string) => world.members.filter((server) => server.color === color);
  const service = {
    id: ServiceId('greeter', 'production'),
    loadBalancer: { ...world.settings, api },
    environments: { blue: of('blue'), green: of('green') },
  } as unknown as Service;
  const observe = async () => (await drivers.loadBalancer(service)).observe(endless);
  try {
    await observe();
    const application = account.application(applicationKey);
    if (!application) throw new Error('the emulator has lost its application');
    const { rules } = account.credential(consumerKey) ?? {};
    const fresh = account.addCredential(application, { rules: rules ?? [], state: 'validated' });
    world.emulator.admin.setCredentialState(consumerKey, 'expired');
    await expect(observe()).rejects.toThrow(/consumer key is not valid/);
    await put('consumerKey', fresh.consumerKey);
    expect((await observe()).traffic).toMatchObject({ kind: 'split' });
  } finally {
    drivers.close();
    await world.close();
    await rm(directory, { recursive: true });
  }
});
