import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { Message, Status } from '../domain/deployment.js';
import type { Planning } from '../domain/plan.js';
import type { Complaint } from '../domain/failures.js';
import type { Color } from '../domain/color.js';
import type { MessageName } from '../domain/phase.js';
import type { Observation } from '../domain/observation.js';
import type { Service } from '../domain/service.js';
import { queue } from '../domain/turns.js';

/** The names that the command line and the workflows share. Nothing here touches the world. */
export const workflowTypes = {
  deployment: 'blueGreenDeployment',
  rollback: 'rollback',
  adoption: 'adopt',
  convergence: 'converge',
  repair: 'repair',
  inspection: 'inspectService',
  planning: 'planDeployment',
  examination: 'examineServers',
  queue: queue.workflowType,
} as const;

export const statusQuery = defineQuery<Status>('status');

/** What a person is told who sent a message as an update. A refusal is an error instead. */
export interface Answer {
  readonly deployment: string;
  readonly stage: string;
  /** What happens now, in a sentence. */
  readonly next: string;
}

/** What is sent along: nothing, a reason, or more. */
export type MessageInput = Message | string | undefined;

const update = (name: MessageName) => defineUpdate<Answer, [input?: MessageInput]>(name);
const signal = (name: MessageName) => defineSignal<[input?: MessageInput]>(name);

/** Every message is an update (validated, answered) and a signal (also sent bare, from the Temporal UI). */
export const updates = {
  approve: update('approve'),
  reject: update('reject'),
  rollback: update('rollback'),
  advance: update('advance'),
  extend: update('extend'),
  retry: update('retry'),
  'take-over': update('take-over'),
} as const satisfies Record<MessageName, unknown>;

export const signals = {
  approve: signal('approve'),
  reject: signal('reject'),
  rollback: signal('rollback'),
  advance: signal('advance'),
  extend: signal('extend'),
  retry: signal('retry'),
  'take-over': signal('take-over'),
} as const satisfies Record<MessageName, unknown>;

export interface RollbackRequest {
  readonly service: Service;
  readonly requestedBy: string;
  readonly searchAttributes: boolean;
}

export type ConvergenceRequest = RollbackRequest;

export interface AdoptionRequest extends RollbackRequest {
  /** The environment to take over; the idle one when left out. */
  readonly color?: Color;
}

export interface RepairRequest extends RollbackRequest {
  /** Which environment all traffic goes to afterwards. */
  readonly live: Color;
}

/** What `verdigris plan` and `verdigris check` show: what is, what stands in the way, what would be done. */
export interface Inspection {
  readonly observation: Observation;
  readonly complaints: readonly Complaint[];
}

export interface PlanningResult extends Inspection {
  /** Missing where the inspection already refuses. */
  readonly planning?: Planning;
}

export const searchAttributeNames = {
  service: 'VerdigrisService',
  phase: 'VerdigrisPhase',
  live: 'VerdigrisLive',
  release: 'VerdigrisRelease',
} as const;

export const defaultTaskQueue = 'verdigris';
