import type { Color } from './color.js';

/**
 * One `verdigris switch --without-temporal`, as its record tells it. `begun` until it is known how it ended: found later, it
 * was cut off.
 */
export interface HandSwitch {
  readonly service: string;
  readonly by: string;
  readonly reason?: string;
  /** The environment that was live, or in words what was found instead. */
  readonly from: string;
  readonly to: Color;
  /** ISO 8601. */
  readonly beganAt: string;
  readonly endedAt?: string;
  readonly state: HandSwitchState;
}

export const handSwitchStates = ['begun', 'proved', 'moved', 'not moved', 'unclear'] as const;

/**
 * `proved`: from outside, too. `moved`: as the load balancer tells it, and not proved from outside. `not moved`: nothing was
 * published. `unclear`: it may have moved in parts.
 */
export type HandSwitchState = (typeof handSwitchStates)[number];

/** What it began may still be stored or in parts be published: the next one finishes it. */
export const isUnfinished = ({ state }: HandSwitch): boolean => state === 'begun' || state === 'unclear';

/** Whether the traffic is where it is because of it. */
export const explains = ({ to, state }: HandSwitch, live: Color | undefined): boolean =>
  state !== 'not moved' && to === live;

export const describeHandSwitch = ({ by, reason, from, to, beganAt, state }: HandSwitch): string =>
  `${from} -> ${to} by ${by} at ${beganAt}${reason === undefined ? '' : ` (${reason})`}: ${stateWords[state]}`;

const stateWords: Readonly<Record<HandSwitchState, string>> = {
  begun: 'begun, and cut off',
  proved: 'moved, and proved from outside',
  moved: 'moved, and not proved from outside',
  'not moved': 'nothing was published',
  unclear: 'it ended unclear',
};
