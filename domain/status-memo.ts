import type { ServerStatus, Status } from './deployment.js';
import type { DeploymentId, ServerName } from './names.js';

/**
 * A status as the memo of its run has it: in parts, because each is written into the history whenever it has changed, and because what
 * is listed with every run has to stay small.
 */
export interface StatusMemo {
  readonly status?: Omit<Status, Part>;
  readonly servers?: readonly ServersAlike[];
  readonly notes?: Status['notes'];
  readonly plan?: Status['plan'];
  readonly evidence?: Status['evidence'];
}

type Part = 'servers' | 'notes' | 'plan' | 'evidence';

/** Neighbours of whom the same is to be said. */
interface ServersAlike extends Omit<ServerStatus, 'server'> {
  readonly servers: readonly ServerName[];
}

/** What is to be written of a status where `written` was the last one. */
export function memoOf(status: Omit<Status, 'deployment'>, written?: Status): Record<string, unknown> {
  const { servers, notes, plan, evidence, ...rest } = status;
  const parts = { servers: together(servers), notes, plan: plan && inShort(plan), evidence };
  const changed = Object.entries(parts).filter(([part, value]) => {
    const key = part as Part;
    return value !== undefined && status[key] !== written?.[key];
  });
  return { status: rest, ...Object.fromEntries(changed) };
}

/** The status that a memo tells of the run with this id: whoever started it knew none yet. */
export function statusFrom(
  { status, servers = [], ...parts }: StatusMemo,
  deployment: DeploymentId,
): Status | undefined {
  if (typeof status !== 'object') return undefined;
  const { notes = [], plan, evidence } = parts;
  return {
    ...status,
    deployment,
    servers: servers.flatMap(({ servers: names, ...alike }) => names.map((server) => ({ server, ...alike }))),
    notes,
    ...(plan ? { plan } : {}),
    ...(evidence ? { evidence } : {}),
  };
}

function together(servers: readonly ServerStatus[]): readonly ServersAlike[] {
  const groups: { servers: ServerName[]; alike: Omit<ServerStatus, 'server'> }[] = [];
  for (const { server, ...alike } of servers) {
    const last = groups.at(-1);
    if (last && isAlike(last.alike, alike)) last.servers.push(server);
    else groups.push({ servers: [server], alike });
  }
  return groups.map(({ servers: names, alike }) => ({ servers: names, ...alike }));
}

const isAlike = (one: Omit<ServerStatus, 'server'>, other: Omit<ServerStatus, 'server'>): boolean =>
  one.color === other.color && one.state === other.state && one.detail === other.detail;

/** Lists of a plan that are longer are for whoever asks a worker. */
const listedAtMost = 100;

/** Some visibility stores take 64 KiB for a memo. */
function inShort(plan: NonNullable<Status['plan']>): Status['plan'] {
  const { servers = [], objects = {}, liveRuns = {}, ...short } = plan;
  const length = servers.length + Object.keys(objects).length + Object.keys(liveRuns).length;
  return length > listedAtMost ? short : plan;
}
