import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Failure } from '../../../domain/failures.js';
import type { MachineFacts } from '../../../domain/machines.js';
import { Secret } from '../../../domain/secret.js';
import type { OvhProduct } from '../../../domain/service.js';
import { createOvhMachines } from '../../../drivers/machines/ovh.js';
import { endless } from '../../../drivers/patience.js';
import { createOvhApi, type OvhClient } from '../../../ovh/api.js';
import { machineRights, type Right } from '../../../ovh/rights.js';
import { rescuePassword, type Machine } from '../../../sandbox/ovh-api/machines.js';
import { startOvhApi, type OvhApi } from '../../../sandbox/ovh-api/ovh-api.js';

const nowMs = Date.UTC(2026, 4, 12, 14);
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

const server = { kind: 'dedicated server', name: 'ns3012345.ip-192-0-2.eu' } as const;
const vps = { kind: 'vps', name: 'vps-0a1b2c3d.vps.ovh.net' } as const;
const instance = {
  kind: 'instance',
  project: '0123456789abcdef0123456789abcdef',
  id: '01234567-89ab-cdef-0123-456789abcdef',
} as const;

let emulator: OvhApi;
const clients: OvhClient[] = [];
beforeAll(async () => {
  emulator = await startOvhApi();
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  emulator.faults.clear();
});
afterAll(() => emulator.close());

/** A client that may do what these rights say; everything without any. */
function client(rights?: readonly Right[], readDeadlineMs = 30_000): OvhClient {
  const { applicationKey, applicationSecret, consumerKey } = emulator.credentials;
  const application = emulator.admin.account.application(applicationKey);
  if (!application) throw new Error('the sandbox has lost its application');
  const key =
    rights === undefined
      ? consumerKey
      : emulator.admin.account.addCredential(application, { rules: rights, state: 'validated' }).consumerKey;
  const made = createOvhApi({
    endpoint: emulator.url,
    keys: {
      applicationKey: new Secret(applicationKey),
      applicationSecret: new Secret(applicationSecret),
      consumerKey: new Secret(key),
    },
    caFile: emulator.caFile,
    readDeadlineMs,
    rate: { perSecond: 1000, burst: 1000 },
  });
  clients.push(made);
  return made;
}

const look = (product: OvhProduct, rights?: readonly Right[]): Promise<MachineFacts> =>
  createOvhMachines(client(rights), () => nowMs).look(product, endless);

describe('a healthy machine', () => {
  test.each<[string, Machine, Partial<MachineFacts>]>([
    [
      'that is a dedicated server',
      { ...server, cores: 8, memoryMb: 65_536 },
      {
        state: 'ok, powered on',
        healthy: true,
        size: { cores: 8, memoryMb: 65_536, model: 'Xeon-E 2386G', place: 'gra3' },
        interventions: [],
      },
    ],
    [
      'that is a VPS',
      { ...vps, vcores: 4, memoryMb: 8192 },
      {
        state: 'running',
        healthy: true,
        size: { cores: 4, memoryMb: 8192, model: 'vps-4-8', place: 'Region OpenStack: os-gra7' },
      },
    ],
    [
      'that is an instance',
      instance,
      { state: 'ACTIVE', healthy: true, size: { cores: 2, memoryMb: 8192, model: 'b3-8', place: 'GRA11' } },
    ],
  ])('%s is told of with its size', async (_, machine, expected) => {
    emulator.machines.put(machine);
    expect(await look(machine)).toEqual({ interventions: [], ...expected, seenAtMs: nowMs, unknown: [] });
  });

  test.each([server, vps, instance])('is seen whole with exactly the rights of a $kind', async (product) => {
    emulator.machines.put(product);
    expect((await look(product, machineRights(product))).unknown).toEqual([]);
  });

  test('a service account needs the actions of these rights', async () => {
    for (const product of [server, vps, instance]) {
      emulator.machines.put(product);
      const actions = machineRights(product).flatMap((right) => right.actions);
      const { clientId, clientSecret } = emulator.admin.account.addServiceAccount(actions);
      const api = createOvhApi({
        endpoint: emulator.url,
        tokenUrl: emulator.url.replace('/1.0', '/auth/oauth2/token'),
        keys: { clientId: new Secret(clientId), clientSecret: new Secret(clientSecret) },
        caFile: emulator.caFile,
      });
      clients.push(api);
      expect((await createOvhMachines(api).look(product, endless)).unknown).toEqual([]);
    }
  });
});

describe('a machine is not well', () => {
  test.each<[Machine, string]>([
    [{ ...server, state: 'hacked' }, 'hacked, powered on'],
    [{ ...server, powerState: 'poweroff' }, 'ok, powered off'],
    [{ ...vps, state: 'rescued' }, 'rescued'],
    [{ ...vps, state: 'stopped' }, 'stopped'],
    [{ ...instance, status: 'ERROR' }, 'ERROR'],
    [{ ...instance, status: 'SHELVED' }, 'SHELVED'],
  ])('%j', async (machine, state) => {
    emulator.machines.put(machine);
    expect(await look(machine)).toMatchObject({ healthy: false, state });
  });

  test('a VPS that is being backed up is', async () => {
    emulator.machines.put({ ...vps, state: 'backuping' });
    expect(await look(vps)).toMatchObject({ healthy: true });
  });

  test('tells interventions that are not over', async () => {
    const at = { beginsAtMs: nowMs + dayMs, endsAtMs: nowMs + dayMs + hourMs };
    emulator.machines.put({
      ...server,
      interventions: [
        { id: 1, type: 'network', status: 'done', ...at },
        { id: 2, type: 'power', status: 'planned', ...at },
        { id: 3, type: 'network', status: 'canceled', ...at },
        { id: 4, type: 'rack', status: 'inProgress', ...at },
      ],
    });
    expect((await look(server)).interventions).toEqual([
      { type: 'rack', ...at },
      { type: 'power', ...at },
    ]);
  });

  test.each<[string, Machine, Partial<MachineFacts>]>([
    [
      'that ends',
      { ...server, contract: { renewed: false, endsAtMs: Date.UTC(2026, 4, 20) } },
      { endsAtMs: Date.UTC(2026, 4, 20) },
    ],
    ['that is not paid', { ...vps, contract: { status: 'unPaid' } }, { contract: 'unPaid' }],
  ])('tells a contract %s', async (_, machine, expected) => {
    emulator.machines.put(machine);
    expect(await look(machine)).toMatchObject(expected);
  });

  test('never takes along the password of a rescued instance', async () => {
    emulator.machines.put({ ...instance, status: 'RESCUED' });
    expect(await client().get(`/cloud/project/${instance.project}/instance/${instance.id}`)).toMatchObject({
      rescuePassword,
    });
    expect(JSON.stringify(await look(instance))).not.toContain(rescuePassword);
  });
});

describe('what cannot be seen is said', () => {
  test('part by part, with the right that is missing', async () => {
    emulator.machines.put(server);
    const facts = await look(server, machineRights(server).slice(0, 1));
    expect(facts).toMatchObject({ healthy: true, state: 'ok, powered on', size: { place: 'gra3' } });
    const path = `/dedicated/server/${server.name}`;
    expect(facts.unknown).toEqual([
      `size not known: needs the access rule GET ${path}/specifications/hardware`,
      `planned interventions not known: needs the access rule GET ${path}/plannedIntervention`,
      `end of contract not known: needs the access rule GET ${path}/serviceInfos`,
    ]);
  });

  test.each<[string, OvhProduct, readonly Right[] | undefined, string, string]>([
    [
      'for want of a right',
      server,
      machineRights(vps),
      'CredentialRefused',
      `the consumer key may not GET /dedicated/server/${server.name}, needs this access rule`,
    ],
    [
      'of a name that is nobody of ours',
      { kind: 'vps', name: 'vps-none.vps.ovh.net' },
      undefined,
      'MachineUnknown',
      'OVHcloud knows none of that name here',
    ],
  ])('whole, %s', async (_, product, rights, failure, words) => {
    emulator.machines.put(server);
    const error = await look(product, rights).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(Failure);
    expect(error).toMatchObject({ failure, message: expect.stringContaining(words) });
  });

  test('whole, of one whose contract has expired', async () => {
    const expired = { ...vps, name: 'vps-expired.vps.ovh.net', contract: { status: 'expired' } } as const;
    emulator.machines.put(expired);
    await expect(look(expired)).rejects.toMatchObject({
      failure: 'MachineUnknown',
      message: expect.stringContaining('its contract has expired'),
    });
  });

  test('when something answers that is not the API', async () => {
    emulator.machines.put(vps);
    emulator.faults.add({ method: 'GET', path: '/vps/*', action: '502-html' });
    const hurried = createOvhMachines(client(undefined, 200));
    await expect(hurried.look(vps, endless)).rejects.toMatchObject({ failure: 'LoadBalancerUnreachable' });
  });
});
