import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import fc from 'fast-check';
import { describe, expect } from 'vitest';
import type { Message, Outcome, Status } from '../../domain/deployment.js';
import { Failure, isFailureName, type FailureName } from '../../domain/failures.js';
import { messageNames, phases, type MessageName, type Phase } from '../../domain/phase.js';
import { allTo } from '../../domain/split.js';
import type { Behaviour } from '../../drivers/servers/imagined-program.js';
import type { ServerCall, ServerMethod } from '../../drivers/servers/in-memory.js';
import { test, type World } from '../support/world.js';

/** How many stories are told; more of them find more. */
const runs = Number(process.env['VERDIGRIS_EXPLORE_RUNS'] ?? 12);
/** Names the stories: the same seed tells the same ones. */
const seed = Number(process.env['VERDIGRIS_EXPLORE_SEED'] ?? randomInt(2 ** 31));

type Deed =
  | { readonly kind: 'update' | 'signal'; readonly name: MessageName; readonly input: unknown }
  | { readonly kind: 'cancel' }
  | { readonly kind: 'restart the worker' }
  | {
      readonly kind: 'a server fails';
      readonly server: string;
      readonly method: ServerMethod;
      readonly failure: FailureName;
      readonly effect: 'none' | 'done';
    }
  | { readonly kind: 'a link breaks'; readonly server: string; readonly forMs: number }
  | { readonly kind: 'a program dies'; readonly server: string }
  | {
      readonly kind: 'the load balancer fails';
      readonly operation: 'read' | 'store' | 'publish';
      readonly failure: FailureName;
      readonly effect: 'none' | 'done';
    }
  | { readonly kind: 'somebody edits'; readonly object: string };

interface Story {
  readonly behaviour: Behaviour;
  readonly answer: 'approve' | 'reject';
  readonly old: 'keep running' | 'stop';
  readonly deeds: readonly { readonly at: Phase; readonly afterMs: number; readonly deed: Deed }[];
}

const green = fc.constantFrom('green-1', 'green-2');
const effect = fc.constantFrom('none', 'done');
const deeds: fc.Arbitrary<Deed> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('update', 'signal'),
      name: fc.constantFrom(...messageNames),
      input: fc.constantFrom<unknown>(
        undefined,
        'because',
        { by: 'ann' },
        { force: true },
        { byMs: 200 },
        { byMs: 1e300 },
        { deployment: '00000000' },
        { plan: 'no such plan' },
        null,
        42,
        [1],
      ),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'cancel' }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'restart the worker' }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('a server fails'),
      server: green,
      method: fc.constantFrom<ServerMethod>(
        'install',
        'activate',
        'watch',
        'observe',
        'restore',
        'remove',
        'probe',
      ),
      failure: fc.constantFrom<FailureName>(
        'ServerUnreachable',
        'CommandFailed',
        'DiskFull',
        'ExecutorFenced',
      ),
      effect,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('a link breaks'), server: green, forMs: fc.nat(800) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('a program dies'), server: green }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('the load balancer fails'),
      operation: fc.constantFrom('read', 'store', 'publish'),
      failure: fc.constantFrom<FailureName>('LoadBalancerUnreachable', 'RefreshFailed', 'CredentialRefused'),
      effect,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('somebody edits'),
      object: fc.constantFrom('farm/green', 'farm/other'),
    }),
  },
) as fc.Arbitrary<Deed>;

const stories: fc.Arbitrary<Story> = fc.record({
  behaviour: fc.oneof(
    { weight: 6, arbitrary: fc.constant<Behaviour>({ kind: 'answers' }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom<Behaviour>(
        { kind: 'crashes at start' },
        { kind: 'exits', afterMs: 100 },
        { kind: 'never healthy' },
      ),
    },
  ),
  answer: fc.oneof(
    { weight: 4, arbitrary: fc.constant('approve' as const) },
    { weight: 1, arbitrary: fc.constant('reject' as const) },
  ),
  old: fc.constantFrom('keep running', 'stop'),
  deeds: fc.array(fc.record({ at: fc.constantFrom(...phases), afterMs: fc.nat(250), deed: deeds }), {
    minLength: 1,
    maxLength: 5,
  }),
});

/** What was seen while a story was told. */
class Witness {
  readonly wrongs: string[] = [];
  readonly accepted: MessageName[] = [];
  cancelled = false;
  killed = false;
  readonly #world: World;

  constructor(world: World, story: Story) {
    this.#world = world;
    const calls = world.servers.calls as ServerCall[] & { push: (call: ServerCall) => number };
    calls.push = (call) => {
      this.#hear(call);
      return Array.prototype.push.call(calls, call);
    };
    const publish = world.loadBalancer.publish.bind(world.loadBalancer);
    world.loadBalancer.publish = async () => {
      try {
        await publish();
      } finally {
        this.#lookAtTraffic(story);
      }
    };
  }

  /** An environment that has traffic is never changed. */
  #hear({ server, method, token }: ServerCall): void {
    const color = server.startsWith('blue') ? 'blue' : 'green';
    const share = this.#world.loadBalancer.split[color];
    if (token !== undefined && share > 0)
      this.wrongs.push(`${method} on ${server}, which has ${share} % of the traffic`);
  }

  /** Traffic goes to what has proved itself. */
  #lookAtTraffic({ behaviour }: Story): void {
    if (this.#world.loadBalancer.split.green === 0 || this.killed) return;
    if (behaviour.kind !== 'answers') this.wrongs.push(`traffic for a program that ${behaviour.kind}`);
    for (const { name } of this.#world.service.environments.green) {
      const answer = this.#world.server(name).answer();
      if (answer.kind === 'silent' || answer.identity !== 'new')
        this.wrongs.push(`traffic for ${name}: ${JSON.stringify(answer)}`);
    }
  }

  noteStage({ stage, problem }: Status): void {
    if (stage !== 'needs a person') return;
    const named =
      problem !== undefined && (problem.failure === 'Unexpected' || isFailureName(problem.failure));
    if (!named || problem.message === '')
      this.wrongs.push(`a person is asked, and not told why: ${JSON.stringify(problem)}`);
  }
}

async function enact(world: World, witness: Witness, deed: Deed): Promise<void> {
  switch (deed.kind) {
    case 'update':
      await world.send(deed.name, deed.input as Message).then(
        () => witness.accepted.push(deed.name),
        (error: unknown) => refusalsOnly(error),
      );
      return;
    case 'signal':
      await world.signal(deed.name, ...(deed.input === undefined ? [] : [deed.input])).catch(refusalsOnly);
      return;
    case 'cancel':
      await world.handle().cancel().catch(refusalsOnly);
      return;
    case 'restart the worker':
      await world.stopWorker();
      await world.startWorker();
      return;
    case 'a server fails':
      world
        .server(deed.server)
        .failNext(deed.method, new Failure(deed.failure, `Cannot ${deed.method}: told to fail`), deed.effect);
      return;
    case 'a link breaks':
      world.server(deed.server).link = 'refused';
      await sleep(deed.forMs);
      world.server(deed.server).link = 'up';
      return;
    case 'a program dies':
      witness.killed = true;
      world.server(deed.server).crash();
      return;
    case 'the load balancer fails': {
      const failure = new Failure(deed.failure, 'Cannot call: told to fail', {
        ambiguous: deed.effect === 'done',
      });
      world.loadBalancer.failNext(failure, deed);
      return;
    }
    case 'somebody edits':
      world.loadBalancer.editAsSomebodyElse(deed.object, { by: 'somebody else' });
  }
}

/** A message may come too early, too late or to a run that has ended: that is said, and nothing else may go wrong. */
function refusalsOnly(error: unknown): void {
  const text = error instanceof Error ? `${error.message} ${String(error.cause)}` : String(error);
  if (!/Cannot |not found|already completed|closing workflow|Workflow Update failed/.test(text)) throw error;
}

async function tell(world: World, witness: Witness, { deeds: all }: Story): Promise<void> {
  for (const { at, afterMs, deed } of all) {
    const reached = await reach(world, at);
    if (!reached) return;
    await sleep(afterMs);
    await enact(world, witness, deed);
  }
}

/** Waits until a phase is reached or passed; `false` when the run has ended before it. */
async function reach(world: World, phase: Phase): Promise<boolean> {
  for (;;) {
    const status = await world.status().catch(() => undefined);
    if (status?.stage === 'ended' || (await hasEnded(world))) return false;
    if (status && (phases.indexOf(status.phase) >= phases.indexOf(phase) || !isPhase(status.stage)))
      return true;
    await sleep(30);
  }
}

const isPhase = (stage: Status['stage']): boolean => (phases as readonly string[]).includes(stage);
const hasEnded = async (world: World): Promise<boolean> =>
  (await world.handle().describe()).status.name !== 'RUNNING';

/** More often than a story has failures: what asks still has no end of its own. */
const patience = 12;

/** What people do: they approve or reject, end what takes too long, try again, force the way back, and take over in the end. */
async function attend(world: World, witness: Witness, { answer }: Story): Promise<void> {
  let asked = 0;
  while (!(await hasEnded(world))) {
    await sleep(250);
    const status = await world.status().catch(() => undefined);
    if (!status) continue;
    witness.noteStage(status);
    if (status.stage === 'approve' && status.awaits !== undefined) {
      await sleep(250);
      await enact(world, witness, { kind: 'update', name: answer, input: { by: 'ann' } });
    }
    // A bare `extend` is for minutes.
    if (status.stage === 'bake' && (status.deadline ?? 0) > Date.now() + 60_000)
      await enact(world, witness, { kind: 'update', name: 'advance', input: undefined });
    if (status.stage === 'needs a person') {
      for (const name of ['green-1', 'green-2']) world.server(name).link = 'up';
      asked += 1;
      const [name, input] =
        asked > patience
          ? (['take-over', { by: 'ann' }] as const)
          : asked % 3 === 0
            ? (['rollback', { force: true }] as const)
            : (['retry', undefined] as const);
      await enact(world, witness, { kind: 'update', name, input });
    }
  }
}

async function ending(world: World): Promise<Outcome | 'taken over'> {
  try {
    return (await world.handle().result()) as Outcome;
  } catch (error) {
    const cause = error instanceof WorkflowFailedError ? error.cause : error;
    if (cause instanceof ApplicationFailure && cause.type === 'TakenOver') return 'taken over';
    throw error;
  }
}

async function failedTasks(world: World): Promise<readonly string[]> {
  const { events = [] } = await world.handle().fetchHistory();
  return (events ?? []).flatMap(({ workflowTaskFailedEventAttributes: failed }) =>
    failed?.failure?.message && !/UnhandledCommand|shut/i.test(failed.failure.message)
      ? [failed.failure.message]
      : [],
  );
}

describe.concurrent(`whatever happens (VERDIGRIS_EXPLORE_SEED=${seed}), a deployment ends stable`, () => {
  test.for(fc.sample(stories, { numRuns: runs, seed }).map((story, index) => ({ index, story })))(
    'story $index',
    { timeout: 300_000 },
    async ({ story }, { aWorld }) => {
      const world = await aWorld({ retire: { old: story.old } });
      const told = JSON.stringify(story);
      world.release('new', story.behaviour);
      // What Verdigris did not install is never stopped: it has to be its own.
      if (story.old === 'stop')
        for (const { name } of world.service.environments.blue) world.server(name).adopt();
      const witness = new Witness(world, story);
      const before = { blue: world.fingerprint('blue'), green: world.fingerprint('green') };

      await world.start('new');
      await Promise.all([tell(world, witness, story), attend(world, witness, story)]);
      const outcome = await ending(world);

      expect(witness.wrongs, told).toEqual([]);
      expect(await failedTasks(world), told).toEqual([]);
      if (outcome === 'taken over') {
        expect(told, 'every failure passes: nobody has to take over').toContain('"name":"take-over"');
        return;
      }
      if (story.old === 'keep running') {
        expect(world.fingerprint('blue'), `blue is untouched: ${told}`).toEqual(before.blue);
      }
      if (outcome.kind === 'promoted') {
        expect(world.loadBalancer.split, told).toEqual(allTo('green'));
        expect(witness.accepted, `an accepted rollback is no promotion: ${told}`).not.toContain('rollback');
        expect(witness.accepted, `an accepted rejection is no promotion: ${told}`).not.toContain('reject');
        return;
      }
      expect(world.loadBalancer.split, told).toEqual(allTo('blue'));
      expect(world.servedBy(), told).toBe('v1');
      expect(world.fingerprint('green'), `green is as before: ${told} ${JSON.stringify(outcome)}`).toEqual(
        before.green,
      );
      if (outcome.kind === 'rejected')
        expect(story.answer === 'reject' || told.includes('"reject"'), told).toBe(true);
    },
  );
});
