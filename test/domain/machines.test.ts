import { describe, expect, test } from 'vitest';
import {
  complaintsAboutMachines,
  describeMachines,
  warningsAboutMachines,
  type MachineFacts,
  type MachineObservation,
} from '../../domain/machines.js';
import { ServerName } from '../../domain/names.js';
import type { Service } from '../../domain/service.js';

const nowMs = Date.UTC(2026, 4, 12, 14);
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

const service = (unhealthy: 'warn' | 'refuse', unequal: 'warn' | 'refuse' = unhealthy): Service =>
  ({
    id: 'greeter@production',
    machines: { unhealthy, unequal },
    approve: { timeoutMs: 3 * dayMs },
    bake: { durationMs: hourMs },
  }) as unknown as Service;

const healthy: MachineFacts = {
  state: 'ok, powered on',
  healthy: true,
  size: { cores: 6, memoryMb: 32_768, model: 'Xeon-E 2386G', place: 'gra3' },
  interventions: [],
  seenAtMs: nowMs,
  unknown: [],
};

const seen = (
  name: string,
  machine: Partial<MachineFacts> = {},
  product = `ns-${name}`,
): MachineObservation => ({
  server: ServerName(name),
  color: name.startsWith('blue') ? 'blue' : 'green',
  product: { kind: 'dedicated server', name: product },
  kind: 'seen',
  machine: { ...healthy, ...machine },
});
const notSeen = (name: string, because: string): MachineObservation => ({
  server: ServerName(name),
  color: name.startsWith('blue') ? 'blue' : 'green',
  product: { kind: 'vps', name: `vps-${name}` },
  kind: 'not seen',
  because,
});

const large = { ...healthy.size, cores: 12, memoryMb: 65_536 };

describe('what speaks against a machine', () => {
  test.each<[string, Partial<MachineFacts>, string | undefined]>([
    ['nothing', {}, undefined],
    [
      'its state',
      { healthy: false, state: 'hacked' },
      'green-1 (dedicated server ns-green-1) is not well: hacked',
    ],
    [
      'an intervention while a deployment may wait',
      {
        interventions: [
          { type: 'network', beginsAtMs: nowMs + 2 * dayMs, endsAtMs: nowMs + 2 * dayMs + hourMs },
        ],
      },
      'green-1 (dedicated server ns-green-1) has an intervention of OVHcloud (network) from 2026-05-14 14:00 UTC, in the time that this deployment may take',
    ],
    [
      'one that goes on',
      { interventions: [{ type: 'rack', beginsAtMs: nowMs - hourMs }] },
      'green-1 (dedicated server ns-green-1) has an intervention of OVHcloud (rack) from 2026-05-12 13:00 UTC, in the time that this deployment may take',
    ],
    ['not one after it', { interventions: [{ type: 'rack', beginsAtMs: nowMs + 4 * dayMs }] }, undefined],
    [
      'not one that is over',
      { interventions: [{ type: 'rack', beginsAtMs: nowMs - dayMs, endsAtMs: nowMs - hourMs }] },
      undefined,
    ],
    [
      'an end that is near',
      { endsAtMs: nowMs + 5 * dayMs },
      'green-1 (dedicated server ns-green-1) is yours until 2026-05-17 14:00 UTC and is not renewed by itself',
    ],
    ['not one that is far', { endsAtMs: nowMs + 30 * dayMs }, undefined],
    [
      'a contract',
      { contract: 'unPaid' },
      'green-1 (dedicated server ns-green-1) has a contract that is "unPaid"',
    ],
  ])('%s', (_, machine, words) => {
    const machines = [seen('green-1', machine)];
    expect(warningsAboutMachines(service('warn'), machines)).toEqual(words === undefined ? [] : [words]);
    expect(complaintsAboutMachines(service('warn'), machines)).toEqual([]);
    expect(complaintsAboutMachines(service('refuse'), machines)).toEqual(
      words === undefined
        ? []
        : [
            {
              failure: 'MachineUnhealthy',
              message: `Cannot deploy "greeter@production": OVHcloud finds fault with its machines, needs healthy ones\n  ${words}\n  look at it in the control panel; to be warned only: machines.unhealthy: warn`,
            },
          ],
    );
  });

  test('is told once of a machine that carries a blue and a green server', () => {
    const ill = { healthy: false, state: 'error' };
    expect(
      warningsAboutMachines(service('warn'), [seen('blue-1', ill, 'ns-1'), seen('green-1', ill, 'ns-1')]),
    ).toEqual(['blue-1, green-1 (dedicated server ns-1) is not well: error']);
  });
});

describe('blue and green', () => {
  test.each<[string, readonly MachineObservation[], readonly string[]]>([
    ['of the same sizes', [seen('blue-1'), seen('green-1')], []],
    [
      'of the same sizes in another order',
      [seen('blue-1', { size: large }), seen('blue-2'), seen('green-1'), seen('green-2', { size: large })],
      [],
    ],
    [
      'of another size',
      [seen('blue-1', { size: large }), seen('blue-2', { size: large }), seen('green-1'), seen('green-2')],
      ['blue has 2 x 12 cores with 64 GB', 'green has 2 x 6 cores with 32 GB'],
    ],
    [
      'of another number',
      [seen('blue-1'), seen('green-1'), seen('green-2', { size: large })],
      ['blue has 1 x 6 cores with 32 GB', 'green has 1 x 12 cores with 64 GB, 1 x 6 cores with 32 GB'],
    ],
    ['of which one cannot be seen', [notSeen('blue-1', 'no right'), seen('green-1', { size: large })], []],
    ['of which one tells no size', [seen('blue-1', { size: {} }), seen('green-1')], []],
    ['of which only one is named', [seen('green-1')], []],
  ])('%s', (_, machines, differences) => {
    const warned = warningsAboutMachines(service('warn'), machines).filter(
      (line) => !line.includes('not known'),
    );
    expect(warned).toEqual(differences);
    const complaints = complaintsAboutMachines(service('warn', 'refuse'), machines);
    expect(complaints.map(({ failure }) => failure)).toEqual(
      differences.length > 0 ? ['EnvironmentsUnequal'] : [],
    );
    if (differences.length > 0) expect(complaints[0]?.message).toContain(differences.join('\n  '));
  });
});

test('what could not be seen is a warning, and never a refusal', () => {
  const machines = [
    notSeen('blue-1', 'the consumer key may not GET /vps/vps-blue-1, needs this access rule'),
    seen('green-1', { unknown: ['size not known: needs the access rule GET /x'] }),
  ];
  expect(complaintsAboutMachines(service('refuse'), machines)).toEqual([]);
  expect(warningsAboutMachines(service('refuse'), machines)).toEqual([
    "blue-1: OVHcloud's view of it is not known: the consumer key may not GET /vps/vps-blue-1, needs this access rule",
    'green-1: size not known: needs the access rule GET /x',
  ]);
});

test('each machine is described in one line', () => {
  expect(describeMachines([seen('green-1'), notSeen('blue-1', 'no answer')])).toEqual([
    'green-1 is dedicated server ns-green-1, ok, powered on, Xeon-E 2386G, 6 cores with 32 GB, gra3',
    'blue-1 is VPS vps-blue-1, of which OVHcloud tells nothing: no answer',
  ]);
});
