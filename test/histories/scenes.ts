import { randomUUID } from 'node:crypto';
import type { WorkflowHandle } from '@temporalio/client';
import { Failure } from '../../domain/failures.js';
import type { Service } from '../../domain/service.js';
import { workflowTypes } from '../../workflows/messages.js';
import { holdTurn, queueOf, sharedLoadBalancer, untilItWaitsForItsTurn } from '../support/turns.js';
import type { World } from '../support/world.js';

/** One run whose history is kept: what makes the world special, and how far it is brought. */
export interface Scene {
  readonly changes?: Partial<Service>;
  /** `another` is a world like it. */
  readonly bring: (world: World, another: () => Promise<World>) => Promise<WorkflowHandle>;
}

const longBake = {
  durationMs: 600_000,
  maxErrorRate: 0.01,
  maxLatencyRatio: 2,
  latencyFloorMs: 50,
  minRequests: 20,
  watchEveryMs: 100,
} as const;

/** A load balancer of its own, which lets testers in and keeps the old servers as a fallback. */
const withTestersAndFallback = (): Pick<Service, 'loadBalancer'> => ({
  loadBalancer: {
    driver: 'in-memory',
    world: `with-testers-${randomUUID().slice(0, 8)}`,
    testers: { route: 1, by: { kind: 'header', name: 'X-Preview', value: 'please' } },
    fallback: 'old-environment',
  },
});

const fenced = () => new Failure('ExecutorFenced', 'Cannot restore "green-2": a newer executor was here');

async function toApproval(world: World): Promise<WorkflowHandle> {
  const handle = await world.start('v2');
  await world.untilStage('approve');
  return handle;
}

async function toBake(world: World): Promise<WorkflowHandle> {
  const handle = await toApproval(world);
  await world.send('approve', { by: 'ann', reason: 'looks good' });
  await world.untilStage('bake');
  return handle;
}

/** One service has its turn for so long that it is looked at, and another one waits. */
async function toContention(world: World, another: () => Promise<World>) {
  const waiting = await another();
  const [, promoted] = [await toApproval(world), await toApproval(waiting)];
  const turn = await holdTurn(world);
  await waiting.send('approve', { by: 'ann' });
  await untilItWaitsForItsTurn(waiting);
  const { runId, workflowId } = await queueOf(world).describe();
  const queue = world.client.workflow.getHandle(workflowId, runId);
  const isLookedAt = async () => ((await queue.describe()).raw.pendingActivities ?? []).length > 0;
  while (!(await isLookedAt())) await new Promise((resolve) => setTimeout(resolve, 50));
  return { turn, queue, promoted };
}

/** Runs that have ended, one for each way to end: file name to what happened. */
export const closedScenes: Readonly<Record<string, Scene>> = {
  promoted: {
    bring: async (world) => {
      const handle = await toApproval(world);
      await world.signal('advance'); // too early: refused, and noted
      await world.send('approve', { by: 'ann' });
      return handle;
    },
  },
  refused: {
    bring: (world) => {
      world.server('green-1').link = 'refused';
      return world.start('v2');
    },
  },
  'rolled-back-from-install': {
    bring: (world) => {
      world.server('green-2').failNext('install', new Failure('DiskFull', 'Cannot install on "green-2": no space'));
      return world.start('v2');
    },
  },
  'rolled-back-from-activate': {
    bring: (world) => {
      world.release('bad', { kind: 'crashes at start' });
      return world.start('bad');
    },
  },
  'rolled-back-from-verify': {
    bring: (world) => {
      world.release('bad', { kind: 'exits', afterMs: 150 });
      return world.start('bad');
    },
  },
  'rolled-back-from-approve': {
    bring: async (world) => {
      const handle = await toApproval(world);
      world.loadBalancer.editAsSomebodyElse('farm/green');
      return handle;
    },
  },
  'rolled-back-from-switch': {
    bring: async (world) => {
      const handle = await toApproval(world);
      const { held, release } = world.loadBalancer.hold();
      await world.send('approve');
      await held;
      await world.send('rollback', { by: 'ann', reason: 'second thoughts' });
      release();
      return handle;
    },
  },
  'rolled-back-from-bake': {
    changes: { bake: longBake },
    bring: async (world) => {
      const handle = await toBake(world);
      for (const { name } of world.service.environments.green) world.server(name).crash();
      return handle;
    },
  },
  'rolled-back-after-trouble': {
    bring: async (world) => {
      const handle = await toApproval(world);
      world.server('green-2').failNext('restore', fenced());
      await world.signal('rollback');
      await world.untilStage('needs a person');
      await world.send('retry', { by: 'ann' });
      return handle;
    },
  },
  'rejected-by-a-person': {
    bring: async (world) => {
      const handle = await toApproval(world);
      await world.send('reject', { by: 'ann', reason: 'not on a Friday' });
      return handle;
    },
  },
  'rejected-by-time': {
    // oxlint-disable-next-line no-thenable -- the domain's word; nobody awaits settings
    changes: { approve: { timeoutMs: 500, onTimeout: 'reject', watchEveryMs: 100 } },
    bring: (world) => world.start('v2'),
  },
  'taken-over': {
    bring: async (world) => {
      const handle = await toApproval(world);
      world.server('green-2').failNext('restore', fenced());
      await world.send('reject', { by: 'ann' });
      await world.untilStage('needs a person');
      await world.send('take-over', { by: 'ann', reason: 'by hand' });
      return handle;
    },
  },
  cancelled: {
    bring: async (world) => {
      const handle = await toApproval(world);
      await handle.cancel();
      return handle;
    },
  },
  'ended-early-after-an-edit': {
    changes: { bake: longBake },
    bring: async (world) => {
      const handle = await toBake(world);
      world.loadBalancer.editAsSomebodyElse('farm/green');
      await world.untilStage('needs a person');
      await world.send('retry', { by: 'ann' });
      await world.untilStage('bake');
      await world.send('extend', { byMs: 60_000 });
      await world.send('advance', { by: 'ann' });
      return handle;
    },
  },
  'promoted-after-testers-with-a-fallback': {
    changes: withTestersAndFallback(),
    bring: async (world) => {
      const handle = await toApproval(world);
      await world.send('approve', { by: 'ann' });
      return handle;
    },
  },
  'rejected-after-testers': {
    changes: withTestersAndFallback(),
    bring: async (world) => {
      const handle = await toApproval(world);
      await world.send('reject', { by: 'ann' });
      return handle;
    },
  },
  'rolled-back-to-a-fallback': {
    changes: { ...withTestersAndFallback(), bake: longBake },
    bring: async (world) => {
      const handle = await toBake(world);
      for (const { name } of world.service.environments.green) world.server(name).crash();
      return handle;
    },
  },
  rollback: {
    bring: async (world) => {
      await world.deploy('v2');
      return world.begin(workflowTypes.rollback);
    },
  },
  adopt: {
    bring: (world) => {
      world.runForeign('green', 'v0');
      return world.begin(workflowTypes.adoption, { color: 'green' });
    },
  },
  repair: {
    bring: (world) => {
      world.loadBalancer.moveInPanel({ blue: 50, green: 50 });
      return world.begin(workflowTypes.repair, { live: 'blue' });
    },
  },
  converge: {
    changes: {
      fleet: { mayFail: { share: 0.5 }, minCapacity: 1, serverDeadlineMs: 60_000, progressDeadlineMs: 60_000 },
    },
    bring: async (world) => {
      world.server('green-2').failNext('activate', new Failure('StartFailed', 'Cannot start on "green-2"'));
      await world.deploy('v2');
      return world.begin(workflowTypes.convergence);
    },
  },
  'load-balancer-queue': {
    changes: sharedLoadBalancer(),
    bring: async (world, another) => {
      const { turn, queue, promoted } = await toContention(world, another);
      await turn.giveBack();
      await promoted.result();
      return queue;
    },
  },
  'promoted-after-a-wait-for-its-turn': {
    changes: sharedLoadBalancer(),
    bring: async (world, another) => {
      const { turn, promoted } = await toContention(world, another);
      await turn.giveBack();
      return promoted;
    },
  },
  inspection: {
    bring: (world) =>
      world.client.workflow.start(workflowTypes.inspection, {
        workflowId: `${world.workflowId}/inspect`,
        taskQueue: world.taskQueue,
        args: [world.service],
      }),
  },
  examination: {
    bring: (world) =>
      world.client.workflow.start(workflowTypes.examination, {
        workflowId: `${world.workflowId}/inspect`,
        taskQueue: world.taskQueue,
        args: [world.service],
      }),
  },
  planning: {
    bring: (world) =>
      world.client.workflow.start(workflowTypes.planning, {
        workflowId: `${world.workflowId}/plan`,
        taskQueue: world.taskQueue,
        args: [world.request('v2')],
      }),
  },
};

/** Runs that wait: what an upgrade of Verdigris finds open, and has to go on with. */
export const openScenes: Readonly<Record<string, Scene>> = {
  'installing': {
    bring: async (world) => {
      world.server('green-1').delay('install', 60_000);
      const handle = await world.start('v2');
      await world.until(({ servers }) => servers.some(({ state }) => state === 'installed'));
      return handle;
    },
  },
  'waiting-for-approval': { bring: toApproval },
  'waiting-for-the-end-of-the-bake': { changes: { bake: longBake }, bring: toBake },
  'waiting-for-approval-with-testers-inside': {
    changes: withTestersAndFallback(),
    bring: toApproval,
  },
  'waiting-for-the-end-of-the-bake-with-a-fallback': {
    changes: { ...withTestersAndFallback(), bake: longBake },
    bring: toBake,
  },
  'waiting-for-a-person-before-the-switch': {
    bring: async (world) => {
      const handle = await toApproval(world);
      world.loadBalancer.moveInPanel({ blue: 0, green: 100 });
      await world.untilStage('needs a person');
      return handle;
    },
  },
  'waiting-for-a-person-in-the-bake': {
    changes: { bake: longBake },
    bring: async (world) => {
      const handle = await toBake(world);
      world.loadBalancer.editAsSomebodyElse('farm/green');
      await world.untilStage('needs a person');
      return handle;
    },
  },
  'waiting-for-a-person-before-a-blind-rollback': {
    changes: { bake: longBake },
    bring: async (world) => {
      const handle = await toBake(world);
      for (const name of ['blue-1', 'blue-2', 'green-1', 'green-2']) world.server(name).crash();
      await world.untilStage('needs a person');
      return handle;
    },
  },
  'load-balancer-queue-in-use': {
    changes: sharedLoadBalancer(),
    bring: async (world, another) => (await toContention(world, another)).queue,
  },
  'waiting-for-its-turn': {
    changes: sharedLoadBalancer(),
    bring: async (world, another) => (await toContention(world, another)).promoted,
  },
  'rolling-back-with-trouble': {
    bring: async (world) => {
      const handle = await toApproval(world);
      world.server('green-2').link = 'refused';
      await world.send('rollback', { by: 'ann' });
      await world.untilStage('needs a person');
      return handle;
    },
  },
};
