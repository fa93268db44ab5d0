import { inspect } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Secret } from '../../../domain/secret.js';
import { allTo } from '../../../domain/split.js';
import type { RouteChange } from '../../../drivers/load-balancers/driver.js';
import { endless } from '../../../drivers/patience.js';
import type { OvhApi } from '../../../ovh/api.js';
import type { Fault } from '../../../sandbox/ovh-api/faults.js';
import { failureOf, everyOffer, keepsLoadBalancerPromises } from './load-balancer.contract.js';
import { anIplb, aSlowIplb, type IplbWorld } from './ovh-iplb-world.js';

keepsLoadBalancerPromises(
  'an OVHcloud Load Balancer, as slow as the real one',
  () => aSlowIplb('http', { equipped: true }),
  { offers: everyOffer },
);

describe('an OVHcloud Load Balancer on its API', () => {
  let world: IplbWorld;
  beforeAll(async () => {
    world = await anIplb('http');
  });
  beforeEach(async () => {
    world.emulator.admin.behave({
      successStatus: {},
      whileBusy: 'queue',
      errorShape: 'both',
      todoMs: 2,
      doingMs: 6,
    });
    await world.reset();
  });
  afterAll(() => world.close());

  const change = (options: Partial<RouteChange> = {}): RouteChange => ({
    to: allTo('green'),
    expected: undefined,
    purpose: 'forward',
    leaveOut: [],
    ...options,
  });
  const route = (options: Partial<RouteChange> = {}, driver = world.driver()) =>
    driver.route(change(options), endless);
  const observe = () => world.driver().observe(endless);
  const edit = (method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: object) =>
    world.emulator.admin.editAsSomebodyElse(method, `${world.root}/${path}`, body as never);
  const frontendPath = (index: number): string => `http/frontend/${world.settings.frontends[index]}`;

  test('publishes all frontends of a switch, and the staging one, with exactly one refresh', async () => {
    const before = world.orders();
    await route();
    expect(world.orders()).toBe(before + 1);
    const { targets } = await observe();
    const [first, second] = world.settings.frontends;
    const { blue, green } = world.settings.farms;
    expect(targets).toEqual([
      `frontend ${first} -> farm ${green} (green)`,
      `frontend ${second} -> farm ${green} (green)`,
      `frontend ${world.settings.stagingFrontend} -> farm ${blue} (blue), for probes only`,
    ]);
  });

  test('moves tcp frontends as well', async () => {
    const tcp = await anIplb('tcp');
    try {
      const { objects } = await tcp.driver().observe(endless);
      await tcp.driver().route(change({ expected: objects }), endless);
      expect(await tcp.published()).toEqual(allTo('green'));
    } finally {
      await tcp.close();
    }
  });

  test('refuses to divide traffic without a mixed farm', async () => {
    const failure = await failureOf(route({ to: { blue: 95, green: 5 } }));
    expect(failure).toMatchObject({ failure: 'RequestInvalid' });
    expect(failure.message).toContain('no mixed farm is configured (loadBalancer.mixed)');
  });

  describe('states that no deployment leaves', () => {
    test('says that frontends are torn, and joins them on the way back', async () => {
      await edit('PUT', frontendPath(1), { defaultFarmId: world.settings.farms.green });
      await world.emulator.admin.refreshAsSomebodyElse();
      expect((await observe()).traffic).toMatchObject({ kind: 'torn' });
      await route({ to: allTo('blue'), purpose: 'rollback' });
      expect(await world.published()).toEqual(allTo('blue'));
    });

    test('says that a frontend points elsewhere, and brings it home on the way back', async () => {
      await edit('PUT', frontendPath(0), { defaultFarmId: world.otherFarm });
      await world.emulator.admin.refreshAsSomebodyElse();
      const { traffic } = await observe();
      expect(traffic).toMatchObject({ kind: 'elsewhere' });
      expect(inspect(traffic)).toContain(`farm ${world.otherFarm}`);
      await route({ purpose: 'rollback' });
      expect(await world.published()).toEqual(allTo('green'));
    });

    test('says why nobody probes the idle environment, and mends it without moving traffic', async () => {
      const { farms, stagingFrontend } = world.settings;
      await edit('PUT', `http/frontend/${stagingFrontend}`, { defaultFarmId: farms.blue });
      await world.emulator.admin.refreshAsSomebodyElse();
      expect((await observe()).unprobed).toEqual([
        `frontend ${stagingFrontend} -> farm ${farms.blue} (blue), for probes only, needs farm ${farms.green} (green): nobody probes green`,
      ]);
      expect(await route({ to: allTo('blue'), purpose: 'rollback' })).toMatchObject({ changed: true });
      expect(await world.published()).toEqual(allTo('blue'));
      expect((await observe()).unprobed).toBeUndefined();
    });

    test('sees a frontend that is disabled, redirects or points at nothing', async () => {
      for (const [made, unmade] of [
        [{ disabled: true }, { disabled: false }],
        [{ redirectLocation: 'https://example.org' }, { redirectLocation: null }],
        [{ defaultFarmId: null }, { defaultFarmId: world.settings.farms.blue }],
      ] as const) {
        await edit('PUT', frontendPath(0), made);
        expect((await observe()).traffic).toMatchObject({ kind: 'elsewhere' });
        await edit('PUT', frontendPath(0), unmade);
      }
    });

    test('sees a route that takes traffic to a farm, and refuses to switch under one that was added', async () => {
      const { objects } = await observe();
      const action = { type: 'farm', target: String(world.otherFarm) };
      const made = await edit('POST', 'http/route', { action, frontendId: world.settings.frontends[0] });
      const { routeId } = made as { routeId: number };
      try {
        await world.emulator.admin.refreshAsSomebodyElse();
        expect((await observe()).traffic).toMatchObject({ kind: 'elsewhere' });
        const failure = await failureOf(route({ expected: objects }));
        expect(failure).toMatchObject({ failure: 'LoadBalancerChanged' });
        expect(failure.message).toContain(`http/route/${routeId} was added`);
      } finally {
        await edit('DELETE', `http/route/${routeId}`);
      }
    });

    test('refuses when a server of ours has gone, whether other objects are expected too or not', async () => {
      const { objects, ours } = await observe();
      const farm = `http/farm/${world.settings.farms.green}`;
      const made = await edit('POST', `${farm}/server`, { address: '127.0.0.9', port: 1, status: 'active' });
      const name = `${farm}/server/${(made as { serverId: number }).serverId}`;
      const withIt = await observe();
      await edit('DELETE', name);
      await world.emulator.admin.refreshAsSomebodyElse();
      const onlyOurs = Object.fromEntries(withIt.ours.map((one) => [one, withIt.objects[one] ?? 'absent']));
      for (const expected of [withIt.objects, onlyOurs]) {
        const failure = await failureOf(route({ expected }));
        expect(failure).toMatchObject({ failure: 'LoadBalancerChanged' });
        expect(failure.message).toContain(`${name} was removed`);
      }
      expect(ours.every((one) => objects[one] !== undefined)).toBe(true);
    });
  });

  describe('farms that are set up differently', () => {
    const farmOf = (color: 'blue' | 'green'): string => `http/farm/${world.settings.farms[color]}`;
    const lastServer = async (color: 'blue' | 'green'): Promise<string> => {
      const ids = (await edit('GET', `${farmOf(color)}/server`)) as readonly number[];
      return `${farmOf(color)}/server/${ids.at(-1)}`;
    };

    test('are nothing to tell where they are alike', async () => {
      expect((await observe()).unequal).toBeUndefined();
    });

    test('are looked at as seldom as the one that is looked at most seldom', async () => {
      expect((await observe()).probeEveryMs).toBe(30_000);
      await edit('PUT', farmOf('green'), { probe: { type: 'tcp', interval: 45 } });
      expect((await observe()).probeEveryMs).toBe(45_000);
    });

    test.each<[string, () => Promise<string>, object, boolean, RegExp]>([
      ['stickiness', async () => farmOf('green'), { stickiness: 'cookie' }, true, /none and .* cookie$/],
      ['balance', async () => farmOf('blue'), { balance: 'leastconn' }, false, /leastconn and .*roundrobin$/],
      ['probe', async () => farmOf('green'), { probe: null }, false, /and http\/farm\/\d+ \(green\) none$/],
      ['ssl', () => lastServer('green'), { ssl: true }, true, /none and .* true$/],
      ['proxyProtocolVersion', () => lastServer('green'), { proxyProtocolVersion: 'v2' }, true, / v2$/],
      ['proxyProtocolVersion', () => lastServer('blue'), { proxyProtocolVersion: 'v1' }, true, / v1$/],
      ['onMarkedDown', () => lastServer('green'), { onMarkedDown: 'shutdown-sessions' }, false, /sessions$/],
      ['chain', () => lastServer('green'), { chain: 'x'.repeat(80) }, false, /differ in chain$/],
    ])(
      'are told, and whether that breaks what visitors need: %s',
      async (field, object, value, breaks, words) => {
        const name = await object();
        await edit('PUT', name, value);
        const { unequal = [] } = await observe();
        expect(unequal).toEqual([{ breaks, words: expect.stringMatching(words) }]);
        expect(unequal[0]?.words).toContain(name);
        expect(unequal[0]?.words).toContain(field);
      },
    );
  });

  describe('routes of somebody else', () => {
    const byHeader = { field: 'header', subField: 'X-Beta', match: 'is', pattern: 'yes' };
    const aRoute = async (action: object, rule?: object): Promise<string> => {
      const made = await edit('POST', 'http/route', { action, frontendId: world.settings.frontends[0] });
      const name = `http/route/${(made as { routeId: number }).routeId}`;
      if (rule) await edit('POST', `${name}/rule`, rule);
      await world.emulator.admin.refreshAsSomebodyElse();
      return name;
    };

    test.each([
      ['another farm', () => ({ type: 'farm', target: String(world.otherFarm) }), /takes traffic .* to farm/],
      ['nobody', () => ({ type: 'reject', status: 403 }), /rejects traffic/],
      ['another place', () => ({ type: 'redirect', target: 'https://b.example' }), /redirects .* https:..b/],
    ])('that send a part to %s stay as they are, are told, and hinder nobody', async (_, action, words) => {
      const name = await aRoute(action(), byHeader);
      const seen = await observe();
      expect(seen.traffic).toEqual({ kind: 'split', split: allTo('blue') });
      expect(seen.diversions?.join()).toMatch(words);
      expect(seen.diversions?.join()).toContain(`${name} `);
      expect(seen.diversions?.join()).toContain('where header X-Beta is yes');
      expect(seen.ours).toContain(name);
      await route({ expected: seen.objects });
      expect(await world.published()).toEqual(allTo('green'));
    });

    test('that send a part to blue or green are no state to deploy from: that is not divided by us', async () => {
      const target = String(world.settings.farms.green);
      const name = await aRoute({ type: 'farm', target }, byHeader);
      const { traffic } = await observe();
      expect(traffic).toMatchObject({ kind: 'elsewhere' });
      expect(inspect(traffic)).toContain(`${name} takes traffic`);
      expect(inspect(traffic)).toContain(
        `farm ${target} (green) where header X-Beta is yes, whatever is live`,
      );
    });

    test.each([
      ['rejects', { type: 'reject', status: 403 }],
      ['redirects', { type: 'redirect', target: 'https://b.example' }],
    ])('that take everything are no state to deploy from: one that %s', async (_, action) => {
      await aRoute(action);
      expect((await observe()).traffic).toMatchObject({ kind: 'elsewhere' });
    });
  });

  describe('what is stored and not published', () => {
    test('publishes again after taking back, where every object is known to be as before', async () => {
      const { objects, ours } = await observe();
      const gone = new AbortController();
      const progress = (what: string): void => {
        if (what.startsWith('storing')) gone.abort(new Error('cancelled'));
      };
      await expect(
        world.driver().route(change({ expected: objects }), { signal: gone.signal, progress }),
      ).rejects.toThrow('cancelled');
      const onlyOurs = Object.fromEntries(ours.map((one) => [one, objects[one] ?? 'absent']));
      expect(await failureOf(route({ expected: onlyOurs }))).toMatchObject({ failure: 'StagedEditsFound' });
      expect(await route({ expected: objects })).toMatchObject({ changed: true, published: [] });
      expect(await world.published()).toEqual(allTo('green'));
    });

    test('names the edit of somebody else where every object is known', async () => {
      const { objects } = await observe();
      const object = await world.edit('theirs', 'stored');
      const failure = await failureOf(route({ expected: objects }));
      expect(failure).toMatchObject({ failure: 'StagedEditsFound' });
      expect(failure.message).toContain(`${object} was changed`);
    });

    test('says how many edits wait in which zone', async () => {
      await edit('PUT', `http/farm/${world.otherFarm}`, { balance: 'leastconn' });
      expect((await observe()).staged).toEqual(['1 edit in zone gra', '1 edit in zone rbx']);
    });

    test('tells what somebody else slipped in between the last look and the refresh', async () => {
      const { objects } = await observe();
      const slipping = before(world, 'POST', () => world.edit('theirs', 'stored'));
      const report = await route({ expected: objects }, world.driverOver(slipping));
      expect(report.published.join()).toContain(
        `http/farm/${world.otherFarm} was changed while this was published`,
      );
      expect(await world.published()).toEqual(allTo('green'));
    });

    test('notices that somebody moved the traffic between the last look and the refresh', async () => {
      const moving = before(world, 'POST', () =>
        edit('PUT', frontendPath(1), { defaultFarmId: world.settings.farms.blue }),
      );
      const failure = await failureOf(route({}, world.driverOver(moving)));
      expect(failure).toMatchObject({ failure: 'TrafficNotMoved' });
      expect(failure.message).toContain(frontendPath(1));
      await route();
      expect(await world.published()).toEqual(allTo('green'));
    });

    test('publishes nothing of somebody else with a change that moves no traffic', async () => {
      const { objects, ours } = await observe();
      const onlyOurs = Object.fromEntries(ours.map((one) => [one, objects[one] ?? 'absent']));
      const leaveOut = world.servers.blue.slice(0, 1);
      await world.edit('theirs', 'stored');
      const orders = world.orders();
      for (const expected of [undefined, onlyOurs, objects]) {
        const failure = await failureOf(route({ to: allTo('blue'), leaveOut, expected }));
        expect(failure).toMatchObject({ failure: 'StagedEditsFound' });
      }
      expect(world.orders()).toBe(orders);
    });

    test('sees an edit of what a deployment moves and this change does not', async () => {
      const { objects } = await observe();
      const farm = `http/farm/${world.settings.farms.blue}`;
      const [server] = (await edit('GET', `${farm}/server`)) as readonly number[];
      const racing = once(world, 'PUT', () =>
        edit('PUT', `${farm}/server/${server}`, { status: 'inactive' }),
      );
      const failure = await failureOf(route({ expected: objects }, world.driverOver(racing)));
      expect(failure).toMatchObject({ failure: 'StagedEditsFound' });
      expect(failure.message).toContain(`${farm}/server/${server} was changed`);
    });

    test('sees a certificate that somebody has added', async () => {
      const { objects } = await observe();
      const made = await edit('POST', 'ssl', { certificate: 'PEM', key: 'PEM' });
      const name = `ssl/${(made as { id: number }).id}`;
      const failure = await failureOf(route({ expected: objects }));
      expect(failure).toMatchObject({ failure: 'StagedEditsFound' });
      expect(failure.message).toContain(`${name} was added`);
    });

    describe('while an order has to be repeated', () => {
      test('is put back where nobody has published', async () => {
        const { objects } = await observe();
        world.emulator.faults.add({ method: 'POST', path: '*', times: 1, action: '429' });
        const late = once(world, 'POST', () => world.edit('theirs', 'stored'));
        const failure = await failureOf(route({ expected: objects }, world.driverOver(late)));
        expect(failure).toMatchObject({ failure: 'StagedEditsFound', ambiguous: false });
        expect(failure.message).toContain(`http/farm/${world.otherFarm} was changed`);
        expect((await observe()).traffic).toEqual({ kind: 'split', split: allTo('blue') });
        expect(await world.published()).toEqual(allTo('blue'));
      });

      test('is left to the way back where somebody else has published', async () => {
        const { objects } = await observe();
        world.emulator.admin.behave({ whileBusy: 'reject409', doingMs: 60 });
        const busy = once(world, 'POST', async () => {
          await world.emulator.admin.refreshAsSomebodyElse();
          await world.edit('theirs', 'stored');
        });
        const failure = await failureOf(route({ expected: objects }, world.driverOver(busy)));
        expect(failure).toMatchObject({ failure: 'StagedEditsFound', ambiguous: true });
        expect(failure.message).toMatch(/perhaps this change with it(.|\n)*verdigris rollback/);
        expect((await observe()).staged).not.toEqual([]);
        const back = await route({ to: allTo('blue'), purpose: 'rollback', expected: objects });
        expect(back.published.join()).toContain(`http/farm/${world.otherFarm} was changed`);
        expect(await world.published()).toEqual(allTo('blue'));
      });
    });

    test('takes back what it stored when somebody else edits at the same time', async () => {
      const { objects } = await observe();
      const racing = once(world, 'PUT', () => world.edit('theirs', 'stored'));
      const orders = world.orders();
      expect(await failureOf(route({ expected: objects }, world.driverOver(racing)))).toMatchObject({
        failure: 'StagedEditsFound',
      });
      expect((await observe()).traffic).toEqual({ kind: 'split', split: allTo('blue') });
      expect(world.orders()).toBe(orders);
    });
  });

  describe('refreshes', () => {
    for (const status of ['error', 'cancelled', 'blocked', 'stuck'] as const) {
      test(`fails when the task ends as ${status}, and publishes with the next try`, async () => {
        const impatient = await anIplb('http');
        try {
          Object.assign(impatient.settings, { refreshDeadlineMs: 300 });
          const driver = () => impatient.driver();
          impatient.emulator.admin.endNextRefresh({ status, afterInstances: 1 });
          const failure = await failureOf(driver().route(change(), endless));
          expect(failure).toMatchObject({ failure: 'RefreshFailed', ambiguous: true });
          if (status === 'stuck') return;
          expect((await driver().observe(endless)).unsettled?.join()).toMatch(
            new RegExp(`task \\d+, has ended as "${status}": parts of it may run something else`),
          );
          await driver().route(change({ purpose: 'rollback' }), endless);
          expect(await impatient.published()).toEqual(allTo('green'));
          expect((await driver().observe(endless)).unsettled).toBeUndefined();
        } finally {
          await impatient.close();
        }
      });
    }

    test('are not ordered again by the next worker where one dies while its task runs: the task is adopted', async () => {
      world.emulator.admin.behave({ doingMs: 100 });
      const { objects } = await observe();
      const before = world.orders();
      const life = { left: Infinity };
      const dying: OvhApi = {
        ...wrapped(world),
        async post(path, body, options) {
          await world.shared.post(path, body, options);
          life.left = 0;
          throw new Error('killed');
        },
        get: (path, options) =>
          life.left > 0 ? world.shared.get(path, options) : Promise.reject(new Error('killed')),
        put: (path, body, options) =>
          life.left > 0 ? world.shared.put(path, body, options) : Promise.reject(new Error('killed')),
      };
      await expect(route({ expected: objects }, world.driverOver(dying))).rejects.toThrow('killed');

      const said: string[] = [];
      const next = { signal: endless.signal, progress: (what: string) => void said.push(what) };
      await world.driver().route(change({ expected: objects }), next);
      expect(said.join()).toContain('waiting for refresh task');
      expect(world.orders() - before).toBe(1);
      expect(await world.published()).toEqual(allTo('green'));
    });

    test('decides by what is pending when its task has vanished', async () => {
      const forgetting: OvhApi = {
        ...wrapped(world),
        async post(path, body, options) {
          const task = (await world.shared.post(path, body, options)) as { id: number };
          await world.quiet();
          world.emulator.admin.forgetTask(task.id);
          return task;
        },
      };
      expect(await route({}, world.driverOver(forgetting))).toMatchObject({ changed: true });
      expect(await world.published()).toEqual(allTo('green'));
    });

    for (const whileBusy of ['queue', 'reject409', 'merge'] as const) {
      test(`gets through when somebody else refreshes at that moment and the API would ${whileBusy}`, async () => {
        world.emulator.admin.behave({ whileBusy, doingMs: 60 });
        const busy = once(world, 'POST', () => world.emulator.admin.refreshAsSomebodyElse());
        await route({}, world.driverOver(busy));
        expect(await world.published()).toEqual(allTo('green'));
        expect((await observe()).staged).toEqual([]);
      });
    }

    test('waits for a refresh that is under way before it says what is', async () => {
      world.emulator.admin.behave({ doingMs: 200 });
      await edit('PUT', frontendPath(0), { defaultFarmId: world.settings.farms.green });
      await edit('PUT', frontendPath(1), { defaultFarmId: world.settings.farms.green });
      await world.emulator.admin.refreshAsSomebodyElse();
      const said: string[] = [];
      const seen = await world
        .driver()
        .observe({ signal: endless.signal, progress: (what) => said.push(what) });
      expect(seen.staged).toEqual([]);
      expect(said.join()).toContain('waiting for refresh task');
    });
  });

  describe('an API that has grown since', () => {
    const altered = (alter: (path: string, answer: unknown) => unknown): OvhApi => {
      const { shared } = world;
      return {
        host: shared.host,
        get: async (path, options) => alter(path, await shared.get(path, options)),
        put: (path, body, options) => shared.put(path, body, options),
        post: async (path, body, options) => alter(path, await shared.post(path, body, options)),
        delete: (path, options) => shared.delete(path, options),
        time: (options) => shared.time(options),
      };
    };
    const isObject = (answer: unknown): answer is object =>
      typeof answer === 'object' && answer !== null && !Array.isArray(answer);

    test('may tell of fields and values that nobody knew, and they count as part of their object', async () => {
      const grown = (year: number) =>
        world.driverOver(
          altered((path, answer) =>
            /(frontend|farm|server)\/\d+$/.test(path) && isObject(answer)
              ? { ...answer, since: { year }, balance: 'uri', onMarkedDown: 'something-new', hsts: null }
              : answer,
          ),
        );
      const { objects, traffic } = await grown(2026).observe(endless);
      expect(traffic).toEqual({ kind: 'split', split: allTo('blue') });
      expect(await failureOf(route({ expected: objects }, grown(2027)))).toMatchObject({
        failure: 'LoadBalancerChanged',
      });
      await route({ expected: objects }, grown(2026));
      expect(await world.published()).toEqual(allTo('green'));
    });

    test.each([{}, { id: 0 }, { id: null, action: 'refreshIplb' }, null])(
      'may answer the order of a refresh with %j: its task is found, none is asked for as number 0, nothing is ordered twice',
      async (said) => {
        const before = world.orders();
        world.emulator.journal.clear();
        const driver = world.driverOver(
          altered((path, answer) => (path.endsWith('/refresh') ? said : answer)),
        );
        await route({}, driver);
        expect(await world.published()).toEqual(allTo('green'));
        expect(world.orders()).toBe(1);
        expect(before).toBeGreaterThanOrEqual(0);
        const asked = world.emulator.journal.entries.map(({ path }) => path);
        expect(asked.filter((path) => /\/(0|undefined|null|NaN)(\/|$|\?)/.test(path))).toEqual([]);
      },
    );
  });

  describe('an API that answers badly', () => {
    for (const successStatus of [201, 204]) {
      test(`takes ${successStatus} for success`, async () => {
        const status = { PUT: successStatus, POST: 201 };
        world.emulator.admin.behave({ successStatus: status });
        await route();
        expect(await world.published()).toEqual(allTo('green'));
      });
    }

    test.each<Fault>([
      { path: '*', times: 3, after: 2, action: '429' },
      { path: '*', times: 2, after: 2, action: '500' },
      { path: '*', times: 2, after: 30, action: '502-html' },
      { path: '*', times: 2, after: 26, action: 'cut-body' },
      { path: '*', times: 1, after: 26, action: 'hang' },
      { method: 'PUT', path: '*', times: 2, action: '429' },
      { method: 'PUT', path: '*', times: 1, after: 1, action: 'hang' },
      { method: 'PUT', path: '*', times: 2, action: '502-html' },
      { method: 'POST', path: '*', times: 2, action: '429' },
      { method: 'POST', path: '*', times: 1, action: '500' },
      { method: 'POST', path: '*', times: 1, action: '502-html' },
      { method: 'POST', path: '*', times: 1, action: 'cut-body' },
      { method: 'POST', path: '*', times: 1, action: 'hang' },
      { path: '/auth/time', times: 1, action: '500' },
    ])('moves traffic through %o', async (fault) => {
      world.emulator.faults.add(fault);
      const api = world.api({ readDeadlineMs: fault.action === 'hang' ? 1_500 : 10_000 });
      await world.driverOver(api).route(change(), endless);
      expect(await world.published()).toEqual(allTo('green'));
    });

    test.each(['500', '502-html', 'drop-before', '429'] as const)(
      'says that the API cannot be reached when every call ends as %s',
      async (action) => {
        world.emulator.faults.add({ path: '*', action });
        const failure = await failureOf(
          world.driverOver(world.api({ readDeadlineMs: 300 })).observe(endless),
        );
        expect(failure).toMatchObject({ failure: 'LoadBalancerUnreachable', ambiguous: false });
        expect(failure.message).toMatch(/^Cannot read load balancer/);
      },
    );

    test('never says that nothing was published when the API is silent behind the refresh', async () => {
      const { frontends } = world.settings;
      // Once for the look before, and once when it is stored.
      const frontend = `${world.root}/http/frontend/${frontends[0]}`;
      world.emulator.faults.add({ method: 'GET', path: frontend, after: 2, action: '500' });
      // The calls before have to be answered within it on a busy machine, too.
      const failure = await failureOf(
        world.driverOver(world.api({ readDeadlineMs: 2_000 })).route(change(), endless),
      );
      expect(failure).toMatchObject({ failure: 'LoadBalancerUnreachable', ambiguous: true });
      expect(await world.published()).toEqual(allTo('green'));
    });

    test('never says that nothing was published when the answer to the order is lost and nothing else comes', async () => {
      const api = world.api({ readDeadlineMs: 300 });
      world.emulator.faults.add({
        method: 'POST',
        path: `${world.root}/refresh`,
        times: 1,
        action: 'drop-after',
      });
      // Two for what is under way, one for the history, one before the order.
      world.emulator.faults.add({ method: 'GET', path: `${world.root}/task`, after: 4, action: '500' });
      const failure = await failureOf(world.driverOver(api).route(change(), endless));
      expect(failure).toMatchObject({ failure: 'LoadBalancerUnreachable', ambiguous: true });
    });

    test('says in words that the service has expired', async () => {
      world.emulator.faults.add({ path: '*defined*', action: '460' });
      const failure = await failureOf(observe());
      expect(failure).toMatchObject({ failure: 'StateUnclear' });
      expect(failure.message).toContain('expired');
    });

    test('goes on when its clock was wrong', async () => {
      const driver = world.driverOver(world.api());
      await driver.observe(endless);
      world.emulator.faults.add({ path: '*', action: 'clock-skew', skewMs: 3_600_000 });
      await driver.route(change(), endless);
      expect(await world.published()).toEqual(allTo('green'));
    });
  });

  describe('a credential that is refused', () => {
    const keys = () => world.emulator.credentials;
    const withKeys = (
      given: Partial<Record<'applicationKey' | 'applicationSecret' | 'consumerKey', string>>,
    ) => {
      const { applicationKey, applicationSecret, consumerKey } = { ...keys(), ...given };
      return world.driverOver(
        world.api({
          keys: {
            applicationKey: new Secret(applicationKey),
            applicationSecret: new Secret(applicationSecret),
            consumerKey: new Secret(consumerKey),
          },
        }),
      );
    };
    const credential = (rules: readonly { method: string; path: string }[]) => {
      const { account } = world.emulator.admin;
      const application = account.application(keys().applicationKey);
      if (!application) throw new Error('Cannot find the application');
      return account.addCredential(application, { rules, state: 'validated' }).consumerKey;
    };
    const unknown = '0123456789abcdef';

    for (const errorShape of ['both', 'class', 'errorCode', 'message'] as const) {
      test(`is told by what is wrong with it (errors in shape ${errorShape})`, async () => {
        world.emulator.admin.behave({ errorShape });
        for (const [driver, words] of [
          [withKeys({ applicationKey: unknown }), /application key is unknown/],
          [withKeys({ applicationSecret: unknown }), /application secret/],
          [withKeys({ consumerKey: unknown }), /consumer key is unknown/],
        ] as const) {
          const failure = await failureOf(driver.observe(endless));
          expect(failure).toMatchObject({ failure: 'CredentialRefused' });
          expect(failure.message).toMatch(words);
        }
      });
    }

    for (const state of ['pendingValidation', 'expired', 'refused'] as const) {
      test(`is told to need validation when its consumer key is ${state}`, async () => {
        const consumerKey = credential([{ method: 'GET', path: '/*' }]);
        world.emulator.admin.setCredentialState(consumerKey, state);
        const failure = await failureOf(withKeys({ consumerKey }).observe(endless));
        expect(failure).toMatchObject({ failure: 'CredentialRefused' });
        expect(failure.message).toMatch(
          /pending, was refused, has expired or was revoked, .*\n {2}pending: open its validation link/,
        );
      });
    }

    test('is told the access rule that it lacks, for reads and for writes', async () => {
      const consumerKey = credential([{ method: 'GET', path: `${world.root}/task*` }]);
      const read = await failureOf(withKeys({ consumerKey }).observe(endless));
      expect(read).toMatchObject({ failure: 'CredentialRefused' });
      expect(read.message).toContain(`GET ${world.root}/defined`);

      const reading = credential([{ method: 'GET', path: '/*' }]);
      const written = await failureOf(withKeys({ consumerKey: reading }).route(change(), endless));
      expect(written).toMatchObject({ failure: 'CredentialRefused' });
      expect(written.message).toContain(`PUT ${world.root}/${frontendPath(0)}`);
    });

    test('leaves nothing stored when it may edit but not publish', async () => {
      const consumerKey = credential([
        { method: 'GET', path: '/*' },
        { method: 'PUT', path: '/*' },
      ]);
      const failure = await failureOf(withKeys({ consumerKey }).route(change(), endless));
      expect(failure.message).toContain(`POST ${world.root}/refresh`);
      expect((await observe()).traffic).toEqual({ kind: 'split', split: allTo('blue') });
    });

    test('never shows its secrets', async () => {
      const { applicationSecret, consumerKey } = keys();
      world.emulator.faults.add({ path: '*', action: '500' });
      const failure = await failureOf(world.driverOver(world.api({ readDeadlineMs: 200 })).observe(endless));
      const shown = inspect(failure, { depth: Infinity, showHidden: true });
      expect(shown).not.toContain(applicationSecret);
      expect(shown).not.toContain(consumerKey);
    });
  });
});

describe('an OVHcloud Load Balancer with a mixed farm, backups and a route for testers', () => {
  let world: IplbWorld;
  beforeAll(async () => {
    world = await aSlowIplb('http', { equipped: true });
  });
  beforeEach(() => world.reset());
  afterAll(() => world.close());

  const route = (options: Partial<RouteChange>) =>
    world
      .driver()
      .route(
        { to: allTo('blue'), expected: undefined, purpose: 'forward', leaveOut: [], ...options },
        endless,
      );
  const observe = () => world.driver().observe(endless);
  const edit = async (method: 'POST' | 'PUT' | 'DELETE', path: string, body: object): Promise<unknown> => {
    const made = await world.emulator.admin.editAsSomebodyElse(
      method,
      `${world.root}/${path}`,
      body as never,
    );
    await world.emulator.admin.refreshAsSomebodyElse();
    await world.quiet();
    return made;
  };
  const mixedFarm = () => `http/farm/${world.settings.mixed?.farm}`;
  const members = async (farm: string): Promise<readonly string[]> => {
    const ids = await world.emulator.admin.editAsSomebodyElse('GET', `${world.root}/${farm}/server`);
    return (ids as readonly number[]).map((id) => `${farm}/server/${id}`);
  };
  const divided = { blue: 90, green: 10 };

  test('takes one refresh for each step and one for the way back, and says what the shares are of', async () => {
    const orders = world.orders();
    expect(await route({ to: divided })).toMatchObject({ shares: 'of new connections' });
    expect(world.orders()).toBe(orders + 1);
    const { targets, backends } = await observe();
    const [first] = world.settings.frontends;
    expect(targets[0]).toBe(
      `frontend ${first} -> farm ${world.settings.mixed?.farm} (mixed: blue 90 %, green 10 %)`,
    );
    expect(
      backends.map(({ state }) => state),
      'all of it is probed, the old farm too',
    ).toEqual(backends.map(() => 'up'));
    await route({ to: { blue: 50, green: 50 }, expected: (await observe()).objects });
    await route({ to: allTo('blue'), purpose: 'rollback' });
    expect(world.orders()).toBe(orders + 3);
    expect(await world.published()).toEqual(allTo('blue'));
  });

  test('tells that shares are of new clients where the farms are sticky', async () => {
    const { farms } = world.settings;
    for (const farm of [mixedFarm(), `http/farm/${farms.blue}`, `http/farm/${farms.green}`])
      await edit('PUT', farm, { stickiness: 'cookie' });
    expect(await route({ to: divided })).toMatchObject({ shares: 'of new clients' });
    expect((await observe()).division).toMatchObject({ kind: 'possible', shares: 'of new clients' });
  });

  test.each<[string, () => Promise<unknown>, RegExp]>([
    [
      'does not balance by weights alone',
      () => edit('PUT', mixedFarm(), { balance: 'leastconn' }),
      /balances by leastconn, which does not follow weights, needs roundrobin/,
    ],
    [
      'is sticky in another way',
      () => edit('PUT', mixedFarm(), { stickiness: 'cookie' }),
      /has stickiness cookie and blue's farm none, needs the same/,
    ],
    ['is not probed', () => edit('PUT', mixedFarm(), { probe: null }), /has no probe/],
    [
      'lacks a server',
      async () => edit('DELETE', (await members(mixedFarm()))[0] ?? '', {}),
      /blue-1 is not in http\/farm/,
    ],
    [
      'has a server of somebody else',
      () => edit('POST', `${mixedFarm()}/server`, { address: '10.9.9.9', port: 1, status: 'active' }),
      /is none of this service's servers and would get traffic/,
    ],
    [
      'speaks to a server in another way',
      async () => edit('PUT', (await members(mixedFarm()))[0] ?? '', { proxyProtocolVersion: 'v2' }),
      /has another proxyProtocolVersion than in blue's farm/,
    ],
  ])('refuses to divide where the mixed farm %s, and observes why', async (_, spoil, words) => {
    await spoil();
    const writes = world.writes;
    const failure = await failureOf(route({ to: divided }));
    expect(failure).toMatchObject({ failure: 'RequestInvalid' });
    expect(failure.message).toMatch(words);
    expect(world.writes).toBe(writes);
    expect((await observe()).division).toMatchObject({
      kind: 'impossible',
      because: expect.stringMatching(words),
    });
    await route({ to: allTo('green') });
    expect(await world.published(), 'all of it moves nevertheless').toEqual(allTo('green'));
  });

  test('refuses a share that is too small, and tells the smallest', async () => {
    const failure = await failureOf(route({ to: { blue: 99.8, green: 0.2 } }));
    expect(failure).toMatchObject({ failure: 'RequestInvalid' });
    expect(failure.message).toContain('the smallest share is 0.39 % for blue and 0.39 % for green');
  });

  test('tells that somebody has changed the weights, and goes back over it', async () => {
    await route({ to: divided });
    await edit('PUT', (await members(mixedFarm()))[0] ?? '', { weight: 99 });
    expect((await observe()).traffic).toEqual({ kind: 'split', split: { blue: 98.1818, green: 1.8182 } });
    await route({ to: allTo('blue'), purpose: 'rollback' });
    expect(await world.published()).toEqual(allTo('blue'));
  });

  test('says that a fallback lacks a backup, and what would give traffic to an idle server', async () => {
    const farm = `http/farm/${world.settings.farms.green}`;
    const backups = (await members(farm)).slice(0, 2);
    await edit('PUT', backups[0] ?? '', { backup: false });
    expect((await observe()).unready?.join()).toContain('stands for blue-1 in');
    expect(await failureOf(route({ to: allTo('green'), fallback: true }))).toMatchObject({
      failure: 'RequestInvalid',
    });
    await edit('PUT', backups[0] ?? '', { status: 'active' });
    await route({ to: allTo('green') });
    expect(inspect((await observe()).traffic)).toContain('gives blue-1 traffic of green, and is no backup');
  });

  test("says what is wrong with the testers' route, and never opens it then", async () => {
    const path = `http/route/${world.settings.testers?.route}`;
    const rules = (await world.emulator.admin.editAsSomebodyElse('GET', `${world.root}/${path}/rule`)) as [
      number,
    ];
    await edit('PUT', `${path}/rule/${rules[0]}`, { pattern: 'no' });
    expect((await observe()).unready?.join()).toMatch(/is for header X-Preview is no, needs .* is yes alone/);
    expect(await failureOf(route({ testers: true }))).toMatchObject({ failure: 'RequestInvalid' });
    await edit('DELETE', `${path}/rule/${rules[0]}`, {});
    expect((await observe()).traffic).toMatchObject({ kind: 'elsewhere' });
    expect(await failureOf(route({ testers: true }))).toMatchObject({ failure: 'RequestInvalid' });
  });
});

describe('an OVHcloud Load Balancer with http and tcp frontends', () => {
  test('moves both in one refresh, and knows each server in both', async () => {
    const world = await aSlowIplb('http', { equipped: true, also: true });
    try {
      const [tcp] = world.settings.also ?? [];
      const { objects, backends, ours } = await world.driver().observe(endless);
      expect(backends.map(({ state }) => state)).toEqual(backends.map(() => 'up'));
      expect(ours).toContain(`tcp/farm/${tcp?.farms.green}`);
      const orders = world.orders();
      await world
        .driver()
        .route({ to: allTo('green'), expected: objects, purpose: 'forward', leaveOut: [] }, endless);
      expect(world.orders()).toBe(orders + 1);
      expect(await world.published()).toEqual(allTo('green'));
      const applied = world.emulator.admin.appliedOn(16_300);
      expect(applied?.get('frontend', tcp?.frontends[0] ?? 0)?.fields['defaultFarmId']).toBe(
        tcp?.farms.green,
      );

      const one = `${world.root}/tcp/frontend/${tcp?.frontends[0]}`;
      await world.emulator.admin.editAsSomebodyElse('PUT', one, { defaultFarmId: tcp?.farms.blue ?? 0 });
      expect((await world.driver().observe(endless)).traffic).toMatchObject({
        kind: 'torn',
        detail: expect.stringMatching(/http frontend \d+ -> .*\(green\).*tcp frontend \d+ -> .*\(blue\)/),
      });
    } finally {
      await world.close();
    }
  });
});

/** The world's client, which lets somebody act just before each call of `method`. */
function before(world: IplbWorld, method: 'PUT' | 'POST', act: () => Promise<unknown>): OvhApi {
  const api = wrapped(world);
  return {
    ...api,
    async put(path, body, options) {
      if (method === 'PUT') await act();
      return api.put(path, body, options);
    },
    async post(path, body, options) {
      if (method === 'POST') await act();
      return api.post(path, body, options);
    },
  };
}

/** The same, before the first of them only. */
function once(world: IplbWorld, method: 'PUT' | 'POST', act: () => Promise<unknown>): OvhApi {
  let acted = false;
  return before(world, method, async () => {
    if (!acted) await act();
    acted = true;
  });
}

const wrapped = ({ shared }: IplbWorld): OvhApi => ({
  host: shared.host,
  get: (path, options) => shared.get(path, options),
  time: (options) => shared.time(options),
  put: (path, body, options) => shared.put(path, body, options),
  post: (path, body, options) => shared.post(path, body, options),
  delete: (path, options) => shared.delete(path, options),
});
