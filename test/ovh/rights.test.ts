import { expect, test } from 'vitest';
import {
  deployRights,
  discoverRights,
  machineRights,
  provisionRights,
  selfRights,
  type IplbUse,
} from '../../ovh/rights.js';

const use: IplbUse = {
  serviceName: 'loadbalancer-0123',
  protocol: 'http',
  frontends: [1, 2],
  stagingFrontend: 3,
  farms: { blue: 4, green: 5 },
};

test('nothing that is asked for can order, delete or replace anything', () => {
  const all = [
    ...selfRights,
    ...deployRights(use),
    ...provisionRights(use),
    ...discoverRights(use.serviceName),
    ...machineRights({ kind: 'vps', name: 'vps-1.vps.ovh.net' }),
  ];
  expect(all.filter(({ method }) => method === 'DELETE')).toEqual([]);
  expect(
    all.filter(
      ({ path }) =>
        /\/(order|me|terminate|confirmTermination|serviceInfos)\b/.test(path) && !path.startsWith('/vps'),
    ),
  ).toEqual([]);
  const writes = all.filter(({ method }) => method !== 'GET').map(({ path }) => path);
  expect(writes.filter((path) => !path.startsWith(`/ipLoadbalancing/${use.serviceName}/`))).toEqual([]);
  const edits = deployRights(use).filter(({ method }) => method === 'PUT');
  for (const { path } of edits) expect(path).toMatch(/\/http\/(frontend\/[123]|farm\/[45]\/server\/\*)$/);
});
