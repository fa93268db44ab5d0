import { expect, test } from 'vitest';
import { ServerName } from '../../../domain/names.js';
import type { BackendObservation } from '../../../domain/observation.js';
import type { Server } from '../../../domain/service.js';
import type { Configuration } from '../../../drivers/load-balancers/ovh-iplb/configuration.js';
import type { BackendServer, Farm, ServerState } from '../../../drivers/load-balancers/ovh-iplb/documents.js';
import { Entry } from '../../../drivers/load-balancers/ovh-iplb/entry.js';
import { backendsOf } from '../../../drivers/load-balancers/ovh-iplb/servers.js';

const at = (second: number): string => `2026-01-01T00:00:0${second}Z`;
const up = (second: number): ServerState => ({ status: 'UP', checkTime: at(second) });
const down = (second: number): ServerState => ({ status: 'DOWN', checkTime: at(second) });

const server: Server = {
  name: ServerName('blue-1'),
  color: 'blue',
  address: '192.0.2.1',
  port: 8080,
  unit: 'program.service',
  directory: '/srv/program',
  probe: { address: '127.0.0.1', port: 8080 },
  connection: { driver: 'in-memory', world: 'servers' },
};

interface Place {
  readonly states?: readonly ServerState[];
  readonly more?: Partial<BackendServer>;
  readonly farm?: Partial<Farm>;
}

/** What the driver makes of one server in the farm of blue, and in a mixed one where that is given. */
function seen({ own, mixed }: { readonly own?: Place; readonly mixed?: Place }): Partial<BackendObservation> {
  const frontends = [1];
  const entry = new Entry(
    {
      protocol: 'http',
      frontends,
      stagingFrontend: 2,
      farms: { blue: 10, green: 20 },
      ...(mixed ? { mixed: { farm: 30, stagingFrontend: 3 } } : {}),
    },
    false,
  );
  const places = [
    ['http/farm/10', own],
    ['http/farm/30', mixed],
  ] as const;
  const configuration: Configuration = {
    frontends: new Map(),
    routes: new Map(),
    certificates: new Map(),
    farms: new Map(
      places.map(([name, place]) => [name, { port: 80, probe: { type: 'tcp' }, ...place?.farm }]),
    ),
    servers: new Map(
      places.flatMap(([name, place]) => {
        if (!place) return [];
        const { address, port } = server;
        const object = {
          address,
          port,
          status: 'active',
          probe: true,
          serverState: [...(place.states ?? [])],
        };
        return [[`${name}/server/1`, { ...object, ...place.more }] as const];
      }),
    ),
  };
  const [found] = backendsOf([entry], [server], configuration);
  const { state, checkedAtMs } = found ?? {};
  return { ...(state ? { state } : {}), ...(checkedAtMs === undefined ? {} : { checkedAtMs }) };
}

const since = (second: number): { readonly checkedAtMs: number } => ({ checkedAtMs: Date.parse(at(second)) });

test.each<[string, Place, Partial<BackendObservation>]>([
  [
    'up where every instance says so, by the oldest of their checks',
    { states: [up(5), up(2), up(7)] },
    { state: 'up', ...since(2) },
  ],
  ['down where one instance says so', { states: [up(5), up(5), down(3)] }, { state: 'down', ...since(3) }],
  [
    'not checked where one instance has not looked',
    { states: [up(5), { status: 'no check' }] },
    { state: 'unchecked' },
  ],
  [
    'not checked where one instance says nothing',
    { states: [up(5), { status: null }] },
    { state: 'unchecked' },
  ],
  [
    'not checked where it is presumed to be up',
    { states: [up(5), { status: 'UP' }] },
    { state: 'unchecked' },
  ],
  ['not checked where no instance knows it', { states: [] }, { state: 'unchecked' }],
  [
    'not checked where it has no probe, whatever was last said',
    { states: [up(5)], more: { probe: false } },
    { state: 'unchecked' },
  ],
  [
    'not checked where its farm has no probe, whatever was last said',
    { states: [up(5)], farm: { probe: null } },
    { state: 'unchecked' },
  ],
  [
    'drained where it was set inactive, whatever was last said',
    { states: [up(5)], more: { status: 'inactive' } },
    { state: 'inactive' },
  ],
  ['absent where it has no weight', { states: [up(5)], more: { weight: 0 } }, { state: 'absent' }],
])('a server is %s', (_, own, expected) => {
  expect(seen({ own })).toEqual(expected);
});

test('a server is absent where no object stands for it', () => {
  expect(seen({})).toEqual({ state: 'absent' });
});

test('a server of two farms is as the worse of them says, by the older check', () => {
  expect(seen({ own: { states: [up(5)] }, mixed: { states: [up(3)] } })).toEqual({
    state: 'up',
    ...since(3),
  });
  expect(seen({ own: { states: [up(5)] }, mixed: { states: [down(8)] } })).toMatchObject({ state: 'down' });
  expect(
    seen({ own: { states: [up(5)] }, mixed: { states: [], more: { status: 'inactive' } } }),
  ).toMatchObject({
    state: 'inactive',
  });
});
