import { sleep } from '@temporalio/workflow';
import type { Color } from '../domain/color.js';
import { inOneLine } from '../domain/failures.js';
import type { ServerName } from '../domain/names.js';
import type { Server } from '../domain/service.js';
import { complaintOf } from './complaint.js';
import type { DeploymentRun } from './deployment-run.js';
import type { Told } from '../domain/told.js';
import type { Run } from './run.js';

/** What becomes of connections that linger at the end of a drain on the way forward. */
export const lingeringForward = (run: Run): 'cut' | 'refuse' =>
  run.service.drain.lingering === 'cut' || run.cutsLingering ? 'cut' : 'refuse';

/** The same on the way back, which is not given up for them: they are cut and counted, unless a person is to be asked. */
export const lingeringBack = (run: Run): 'cut' | 'refuse' =>
  run.service.drain.lingering === 'ask' && !run.cutsLingering ? 'refuse' : 'cut';

/** An environment that has lost its traffic is left running for a while, whatever its connections look like. */
export async function leaveRunning(run: DeploymentRun, color: Color): Promise<void> {
  const lostAt = run.lostTrafficAt[color];
  const { atLeastMs } = run.service.drain;
  if (lostAt === undefined || atLeastMs === 0) return;
  // Even where nothing is left to wait for: whether there is a timer must not depend on the clock.
  await sleep(Math.max(1, lostAt + atLeastMs - Date.now()), { summary: `${color} is left running` });
}

/** Tells what a server told beside what it was asked to do. Where it told nothing, there may be no answer at all. */
export const noteTold = ({ board }: Run, server: ServerName, told: Told | undefined): void => {
  for (const note of told?.notes ?? []) board.note(`${server}: ${note}`);
};

/** Tells what stopping a program took: connections that were cut, and a kill by systemd. Both are for people to look into. */
export function noteStop(
  run: Run,
  server: ServerName,
  { cut, killed, notes }: Told & { readonly cut?: number; readonly killed: boolean },
): void {
  const { board } = run;
  noteTold(run, server, notes ? { notes } : undefined);
  if (cut) {
    const connections = cut === 1 ? '1 connection' : `${cut} connections`;
    board.note(`${connections} still lingered on ${server} when its program was told to stop`);
  }
  if (killed) {
    board.note(
      `Incident: systemd had to kill (SIGKILL) what ran on ${server}: it did not end within TimeoutStopSec of its unit`,
    );
  }
}

/**
 * Does work that stops programs on `servers`, again for those where connections linger as often as a person says so, where one
 * is to be asked. Anywhere else their lingering is a failure.
 */
export async function askingAboutLingering(
  run: Run,
  servers: readonly Server[],
  work: (servers: readonly Server[], onLinger: (server: Server, error: unknown) => void) => Promise<void>,
): Promise<void> {
  for (let todo = servers; todo.length > 0;) {
    const messages = new Map<ServerName, string>();
    await work(todo, (server, error) => {
      const { failure, message } = complaintOf(error);
      if (failure !== 'ConnectionsLinger' || run.service.drain.lingering !== 'ask') throw error;
      messages.set(server.name, inOneLine(message));
    });
    // In the order of the configuration, whoever was first to tell.
    todo = todo.filter(({ name }) => messages.has(name));
    if (todo.length === 0) return;
    const all = todo.map(({ name }) => messages.get(name)).join('\n');
    await run.askPerson({
      failure: 'ConnectionsLinger',
      message: `${all}\n  wait for them once more: verdigris retry; cut them: verdigris retry --force`,
    });
  }
}
