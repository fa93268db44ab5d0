import { expect, test } from 'vitest';
import type { Status } from '../../domain/deployment.js';
import { DeploymentId, ServiceId } from '../../domain/names.js';
import { acceptedIn, type Stage } from '../../domain/phase.js';
import { emptyTally } from '../../domain/traffic.js';
import type { Output } from '../../client/output.js';
import { createView } from '../../client/views.js';

const at = (stage: Stage, facts: Partial<Status> = {}): Status => ({
  service: ServiceId('greeter', 'production'),
  deployment: DeploymentId('01a20744-0000-7000-8000-00003f9c2a1b'),
  kind: 'deployment',
  requestedBy: 'bea',
  stage,
  phase: 'switch',
  since: 0,
  live: 'blue',
  idle: 'green',
  servers: [],
  accepts: acceptedIn(stage, 'deployment'),
  next: 'it goes on',
  notes: [],
  tally: emptyTally,
  ...facts,
});

/** A view without a terminal, shown one status a second for a while, and when it spoke, in seconds. */
function spokenAt(status: Status, forS: number) {
  const spoken: { readonly atS: number; readonly text: string }[] = [];
  let atS = 0;
  const output: Output = {
    json: false,
    interactive: false,
    say: (lines) => spoken.push({ atS, text: [lines].flat().join('\n') }),
    document: () => undefined,
    documentLine: () => undefined,
    notice: () => undefined,
  };
  const view = createView(output, {
    service: 'greeter@production',
    command: (words) => `verdigris ${words}`,
    whereabouts: '--destination test',
  });
  for (; atS <= forS; atS += 1) view.show(status, atS * 1_000);
  return spoken;
}

test('silence is broken ever more seldom while a person is awaited, each time with what can be done', () => {
  const [turn, ...still] = spokenAt(at('needs a person', { awaits: 'a person' }), 1_200);
  expect(turn).toMatchObject({ atS: 0, text: expect.stringMatching(/needs a person/) });
  expect(still.map(({ atS }) => atS)).toEqual([30, 90, 210, 510, 810, 1_110]);
  for (const { text } of still) {
    expect(text).toMatch(
      /needs a person +for .*waits for a person\n +What can be done now \(each with --destination test\)\n/,
    );
    expect(text).toMatch(/verdigris take-over +takes what is left/);
  }
});

test('silence is broken every 30 s, in one line, while it works', () => {
  const [, ...still] = spokenAt(at('bake'), 95);
  expect(still.map(({ atS }) => atS)).toEqual([30, 60, 90]);
  for (const { text } of still) expect(text).not.toContain('\n');
});
