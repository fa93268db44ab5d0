import type { DeploymentRequest } from '../domain/deployment.js';
import type { Complaint } from '../domain/failures.js';
import type { ProcessLook } from '../domain/health.js';
import type { Plan } from '../domain/plan.js';
import type { Baseline } from '../domain/traffic.js';
import { otherColor, type Color } from '../domain/color.js';
import type { ServerName } from '../domain/names.js';
import { Fleet } from './fleet.js';
import { undoLeavingBehind } from './leaving-behind.js';
import type { Said } from './inbox.js';
import { Run } from './run.js';

/** A run that deploys: what its phases learn and hand on. */
export class DeploymentRun extends Run {
  readonly request: DeploymentRequest;
  /** How the servers of each side name themselves to visitors. */
  identities: { readonly idle: readonly string[]; readonly live: readonly string[] } = { idle: [], live: [] };
  /** The processes that proved themselves last, by server. Whatever runs instead of one has started since. */
  verified: Readonly<Record<string, ProcessLook>> = {};
  /** Every object of the load balancer, as it was last found in order: when it was planned, just before the switch, or as a person left it. */
  objects: Plan['objects'] = {};
  /** What the service was like before the switch. */
  baseline: Baseline = { requests: 0, errorRate: 0, p99Ms: 0 };

  /** The new environment's own processes were seen to die: no comparison is needed to call it ill. */
  newIsIll = false;

  /** When each environment was seen to get no traffic any more, since this run has moved it. */
  readonly lostTrafficAt: Partial<Record<Color, number>> = {};

  #plan: Plan | undefined;
  #fleet: Fleet | undefined;

  constructor(request: DeploymentRequest) {
    super({ kind: 'deployment', ...request });
    this.request = request;
  }

  /** From here on it is known what will be done, and on which servers. */
  settleOn(plan: Plan): void {
    this.#plan = plan;
    this.#fleet = new Fleet(plan.idle, this.service, this.board, () => undoLeavingBehind(this, plan));
    for (const left of plan.leftBehind) this.#fleet.goOnWithout(left);
  }

  get fleet(): Fleet {
    if (!this.#fleet) throw new Error('there is no plan yet');
    return this.#fleet;
  }

  override get leftOut(): readonly ServerName[] {
    return [...this.leftOutOfLive, ...(this.#fleet?.leftBehind ?? []).map(({ server }) => server)];
  }

  /** Servers of the old environment that the load balancer leaves out: they run something else, or nothing. */
  get leftOutOfLive(): readonly ServerName[] {
    const plan = this.#plan;
    if (!plan) return [];
    const live = this.service.environments[otherColor(plan.idle)];
    return plan.leftOut.filter((name) => live.some((server) => server.name === name));
  }
}

/** A person, or time, said no. */
export class Rejected extends Error {
  readonly said: Pick<Said, 'by' | 'reason'>;

  constructor(said: Pick<Said, 'by' | 'reason'>) {
    super(`rejected by ${said.by}`);
    this.said = said;
  }
}

/** Nothing was changed, and why. */
export class Refused extends Error {
  readonly complaints: readonly Complaint[];

  constructor(complaints: readonly Complaint[]) {
    super('refused');
    this.complaints = complaints;
  }
}
