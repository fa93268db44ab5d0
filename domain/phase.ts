/** The phases of a deployment, in their order: the words that people see everywhere. */
export const phases = [
  'inspect',
  'fetch',
  'install',
  'activate',
  'verify',
  'approve',
  'switch',
  'bake',
  'retire',
] as const;

export type Phase = (typeof phases)[number];

/** Where an open deployment can be: in a phase, on the way back, waiting for a person, or at its end. */
export type Stage = Phase | 'rolling back' | 'needs a person' | 'ended';

export const messageNames = [
  'approve',
  'reject',
  'rollback',
  'advance',
  'extend',
  'retry',
  'take-over',
] as const;

export type MessageName = (typeof messageNames)[number];

/** What somebody cannot do who is refused a message: it is read after "Cannot". */
export const verbOf = (message: MessageName): string =>
  message === 'take-over' ? 'take over' : message === 'rollback' ? 'roll back' : message;

/** What a run is for. */
export type RunKind = 'deployment' | 'rollback' | 'adoption' | 'repair' | 'convergence';

/** Why a message is refused in a stage, or `undefined` where it is accepted. */
export function refusalOf(
  message: MessageName,
  stage: Stage,
  kind: RunKind = 'deployment',
): string | undefined {
  if (!accepted[message].includes(stage)) return refusals[message](stage);
  return message === 'rollback' ? refusalToGoBack[kind] : undefined;
}

/** What people can do now. What answers a question is accepted while one `isAwaited`, and only then. */
export const acceptedIn = (stage: Stage, kind: RunKind, isAwaited = true): readonly MessageName[] =>
  messageNames.filter(
    (message) => refusalOf(message, stage, kind) === undefined && (isAwaited || !isAnswer(message)),
  );

/** Whether a message answers the question that an approval is. */
export const isAnswer = (message: MessageName): boolean => message === 'approve' || message === 'reject';

/** The table of phase and message. */
const accepted: Readonly<Record<MessageName, readonly Stage[]>> = {
  approve: ['approve'],
  reject: ['approve'],
  advance: ['bake'],
  extend: ['bake'],
  rollback: [...phases, 'needs a person'],
  retry: ['needs a person'],
  'take-over': ['rolling back', 'needs a person'],
};

const nothingToGoBackFrom = (run: string): string =>
  `the open run is ${run}, which has nothing to go back from; ask again when it has ended`;

/** Others move no traffic, or move it where a person has just said. */
const refusalToGoBack: Readonly<Record<RunKind, string | undefined>> = {
  deployment: undefined,
  rollback: undefined,
  adoption: nothingToGoBackFrom('an adoption'),
  repair: nothingToGoBackFrom('a repair'),
  convergence: nothingToGoBackFrom('a convergence'),
};

const refusals: Readonly<Record<MessageName, (stage: Stage) => string>> = {
  approve: (stage) => `it does not wait for an approval (it is at "${stage}")`,
  reject: (stage) => `it does not wait for an approval (it is at "${stage}"; to stop it: verdigris rollback)`,
  advance: (stage) => `there is nothing to end early (it is at "${stage}", needs "bake")`,
  extend: (stage) => `there is nothing to make longer (it is at "${stage}", needs "bake")`,
  rollback: (stage) => (stage === 'rolling back' ? 'it is rolling back already' : `it has ended`),
  retry: (stage) => `nothing waits to be tried again (it is at "${stage}")`,
  'take-over': (stage) => `it goes on by itself (it is at "${stage}"; to stop it: verdigris rollback)`,
};
