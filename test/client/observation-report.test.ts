import { expect, test } from 'vitest';
import type { Observation } from '../../domain/observation.js';
import { ServiceId } from '../../domain/names.js';
import type { Service } from '../../domain/service.js';
import { allTo } from '../../domain/split.js';
import { observationReport } from '../../client/observation-report.js';

const shop = { id: ServiceId('shop', 'test') } as Service;

const having = (recentSwitchesMs: readonly number[]): Observation => ({
  loadBalancer: {
    traffic: { kind: 'split', split: allTo('blue') },
    targets: [],
    objects: {},
    ours: [],
    staged: [],
    backends: [],
    recentSwitchesMs,
  },
  servers: [],
});

test.each<[readonly number[], string]>([
  [[1_000, 1_000, 1_040], 'a switch took  1 s lately; the way back takes as long'],
  [[9_000, 1_500, 64_000], 'a switch took  2 s to 1 m 4 s lately; the way back takes as long'],
])('the price of the way back is told once: %j', (recentSwitchesMs, line) => {
  expect(observationReport(shop, having(recentSwitchesMs))).toContain(`  ${line}`);
});

test('nothing is told of switches where none is known', () => {
  expect(observationReport(shop, having([])).join('')).not.toContain('switch');
});
