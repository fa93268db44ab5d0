import { setMaxListeners } from 'node:events';
import { compareEnvironments } from '../../../activities/comparison.js';
import { identitiesOf } from '../../../activities/identity.js';
import { colors, otherColor, type Color } from '../../../domain/color.js';
import { credentialKindOf, credentialLacks } from '../../../domain/credential-lacks.js';
import { describeHandSwitch, isUnfinished } from '../../../domain/hand-switch.js';
import { describeSample, isServed, judgeWayBack, type Sample, type Verdict } from '../../../domain/health.js';
import { leftOutOf, type LoadBalancerObservation } from '../../../domain/observation.js';
import type { HandSwitchRecord } from '../../../drivers/hand-switches.js';
import type { Patience } from '../../../drivers/patience.js';
import { observationReport } from '../../observation-report.js';
import type { Output } from '../../output.js';
import { columns, count } from '../../words.js';
import type { HandSession } from '../switch.js';

/** Everything that is seen before anything is moved. */
export interface View {
  readonly observation: LoadBalancerObservation;
  /** The last hand switch on record. */
  readonly last?: HandSwitchRecord;
  /** The same, where it was cut off or ended unclear. */
  readonly unfinished?: HandSwitchRecord;
  readonly answers: Readonly<Record<Color, Answers>>;
  /** Whether the environment that shall get the traffic is able. */
  readonly verdict: Verdict;
  readonly names: { readonly own: readonly string[]; readonly others: readonly string[] };
}

type Answers =
  | { readonly kind: 'asked'; readonly samples: readonly Sample[] }
  | { readonly kind: 'not asked'; readonly because: string };

/** A fleet answers in seconds; a network that is cut must not keep anybody from deciding. */
const askingMs = 60_000;

/** Reads the load balancer and asks both environments past it. */
export async function look(
  { service, drivers, output }: HandSession,
  to: Color,
  last: HandSwitchRecord | undefined,
): Promise<View> {
  const never = new AbortController().signal;
  const driver = await drivers.loadBalancer(service);
  output.say(`Looking at ${driver.name}, and asking both environments past it`);
  const observation = await driver.observe({ signal: never, progress: sayingOnce(output, /waiting/) });
  const except = colors.flatMap((color) => leftOutOf(observation, color));
  const quiet: Patience = { signal: AbortSignal.timeout(askingMs), progress: () => undefined };
  setMaxListeners(0, quiet.signal); // one for each server and question that is waited for side by side
  const [answers, own, others] = await Promise.all([
    compareEnvironments(drivers, { service, except }, quiet).then(asked, notAsked(quiet)),
    identitiesOf(drivers, service, to, quiet).catch(unnamed(quiet)),
    identitiesOf(drivers, service, otherColor(to), quiet).catch(unnamed(quiet)),
  ]);
  return {
    observation,
    ...(last ? { last } : {}),
    ...(last && isUnfinished(last) ? { unfinished: last } : {}),
    answers,
    verdict: verdictOn(to, answers, service.bake.latencyFloorMs),
    names: { own, others },
  };
}

const asked = (samples: Readonly<Record<Color, readonly Sample[]>>): View['answers'] => ({
  blue: { kind: 'asked', samples: samples.blue },
  green: { kind: 'asked', samples: samples.green },
});

const notAsked =
  ({ signal }: Patience) =>
  (error: unknown): View['answers'] => {
    if (!signal.aborted) throw error;
    const silent = { kind: 'not asked', because: `no answer within ${askingMs / 1_000} s` } as const;
    return { blue: silent, green: silent };
  };

const unnamed =
  ({ signal }: Patience) =>
  (error: unknown): readonly string[] => {
    if (!signal.aborted) throw error;
    return [];
  };

function verdictOn(to: Color, answers: View['answers'], latencyFloorMs: number): Verdict {
  const [wanted, other] = [answers[to], answers[otherColor(to)]];
  if (wanted.kind === 'not asked') return { kind: 'inconclusive', because: wanted.because };
  const against = other.kind === 'asked' ? other.samples : [];
  return judgeWayBack(wanted.samples, against, { needs: 'able', currentIsIll: false, latencyFloorMs });
}

/** What speaks against it, each with what helps; all of it can be overruled by a person. */
export function complaintsAboutView(
  { service, command }: HandSession,
  to: Color,
  { observation, unfinished, answers, verdict }: View,
): readonly string[] {
  const { traffic, staged, lacking = [] } = observation;
  const cannot = `Cannot switch "${service.id}" to ${to}`;
  const force = `--force`;
  return [
    ...(traffic.kind === 'split' || unfinished
      ? []
      : [
          `${cannot}: ${traffic.detail}, needs frontends that point at one environment\n  send all of them to ${to} all the same: ${force}; with Temporal: ${command(`repair --live ${to}`)}`,
        ]),
    ...(staged.length === 0 || unfinished
      ? []
      : [
          `${cannot}: edits are stored that are not published (${staged.join('; ')}), and no record here says that they are of a switch that was cut off, needs none\n  apply them or take them back in the control panel; going on publishes them too, whatever they touch: ${force}; not going on leaves the traffic where it is`,
        ]),
    ...(lacking.length === 0
      ? []
      : [credentialLacks(`switch "${service.id}"`, credentialKindOf(service.loadBalancer), lacking)]),
    ...(verdict.kind === 'pass'
      ? []
      : [
          `${cannot}: ${answersLine(answers[to])}, needs half of them at least\n  go there all the same: ${force}`,
        ]),
  ];
}

export const viewReport = (
  { service }: HandSession,
  { observation, last, answers }: View,
): readonly string[] => [
  ...observationReport(service, { loadBalancer: observation, servers: [] }),
  ...columns([
    ...colors.map((color) => [color, answersLine(answers[color])] as const),
    ['others there', othersLine(observation)] as const,
    ...(last ? [['last by hand', describeHandSwitch(last)] as const] : []),
  ]),
];

function answersLine(answers: Answers): string {
  if (answers.kind === 'not asked') return answers.because;
  const good = answers.samples.filter(isServed).length;
  const bad = answers.samples.find((sample) => !isServed(sample));
  const share = `${good} of ${count(answers.samples.length, 'question')} answered well past the load balancer`;
  return bad ? `${share}; else ${describeSample(bad)}` : share;
}

/** Who stores an edit cannot be read; whose objects there are besides ours can. */
function othersLine({ objects, ours }: LoadBalancerObservation): string {
  const others = Object.keys(objects).filter((name) => !ours.includes(name)).length;
  return others === 0
    ? 'nothing but this service'
    : `${count(others, 'object')} of somebody else: nothing of them is changed; who edits what at the same time cannot be read`;
}

/** Progress for people, each sentence once in a row. */
export function sayingOnce(output: Output, worth: RegExp): Patience['progress'] {
  let last = '';
  return (what) => {
    if (what === last || !worth.test(what)) return;
    last = what;
    output.say(`    ${what}`);
  };
}
