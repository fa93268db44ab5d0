import { expect, test } from 'vitest';
import type { Observation } from '../../domain/observation.js';
import { ServerName, ServiceId } from '../../domain/names.js';
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

test('the machines are told as OVHcloud sees them, where their products are named', () => {
  const seen = {
    kind: 'seen',
    machine: {
      state: 'ok, powered on',
      healthy: true,
      size: { cores: 6, memoryMb: 32_768, place: 'gra3' },
      interventions: [],
      seenAtMs: 0,
      unknown: [],
    },
  } as const;
  const machines = [
    {
      server: ServerName('green-1'),
      color: 'green',
      product: { kind: 'dedicated server', name: 'ns1.ip-192-0-2.eu' },
      ...seen,
    },
    {
      server: ServerName('green-2'),
      color: 'green',
      product: { kind: 'vps', name: 'vps-1' },
      kind: 'not seen',
      because: 'no answer',
    },
  ] as const;
  expect(observationReport(shop, { ...having([]), machines }).slice(-3)).toEqual([
    '  As OVHcloud sees them',
    '    green-1  dedicated server ns1.ip-192-0-2.eu, ok, powered on, 6 cores with 32 GB, gra3',
    '    green-2  VPS vps-1, of which OVHcloud tells nothing: no answer',
  ]);
  expect(observationReport(shop, having([])).join()).not.toContain('OVHcloud');
});
