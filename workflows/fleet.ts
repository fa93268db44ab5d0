import { sleep } from '@temporalio/workflow';
import type { Color } from '../domain/color.js';
import type { Complaint } from '../domain/failures.js';
import { describeLeftBehind, isAboutOneServer, mayBeLeftBehind, type LeftBehind } from '../domain/fleet.js';
import type { ServerName } from '../domain/names.js';
import type { Server, Service } from '../domain/service.js';
import { asFailure, complaintOf } from './complaint.js';
import { Deadlines } from './deadlines.js';
import { fanOut, lanes } from './fan-out.js';
import { awayMs } from './patience.js';
import type { StatusBoard } from './status-board.js';

/** Tries of a server that cannot be reached, where somebody else waits for this run. */
const aFew = 4;

/**
 * The servers that a deployment goes to, and those that it goes on without. Each step is taken on every server that is left;
 * one that cannot be reached, takes too long or fails is left behind, as long as the service bears it.
 */
export class Fleet {
  readonly #color: Color;
  readonly #service: Service;
  readonly #board: StatusBoard;
  #leftBehind: readonly LeftBehind[] = [];
  readonly #onFirst: () => void;
  readonly #notPutBack = new Set<ServerName>();

  constructor(color: Color, service: Service, board: StatusBoard, onFirst: () => void) {
    this.#color = color;
    this.#service = service;
    this.#board = board;
    this.#onFirst = onFirst;
  }

  get going(): readonly Server[] {
    return this.#service.environments[this.#color].filter(({ name }) => !this.isLeftBehind(name));
  }

  get leftBehind(): readonly LeftBehind[] {
    return this.#leftBehind;
  }

  /** Left behind, and not as they were before either. */
  get notPutBack(): readonly ServerName[] {
    return [...this.#notPutBack];
  }

  isLeftBehind(name: ServerName): boolean {
    return this.#leftBehind.some(({ server }) => server === name);
  }

  /** How many more may be left behind. */
  get mayStillFail(): number {
    const { length } = this.#service.environments[this.#color];
    return Math.max(0, mayBeLeftBehind(this.#service.fleet, length) - this.#leftBehind.length);
  }

  /**
   * Takes one step on each of `servers`, side by side. `asideMs` is what the step waits because it was told to: deadlines come
   * on top. A server that cannot be reached is tried again until its deadline, or a few times only where others wait; `isAgain`
   * tells that what was known before may be old. Throws once more have failed than the service bears.
   * @returns the results of those that did it.
   */
  async each<Result>(
    servers: readonly Server[],
    asideMs: number,
    work: (server: Server, isAgain: boolean) => Promise<Result>,
    tries: 'until the deadline' | 'a few' = 'until the deadline',
  ): Promise<readonly Result[]> {
    const { serverDeadlineMs, progressDeadlineMs } = this.#service.fleet;
    const limits = { serverMs: serverDeadlineMs + asideMs, progressMs: progressDeadlineMs + asideMs };
    return Deadlines.over(limits, async (deadlines) => {
      const results = new Map<ServerName, Result>();
      await fanOut(servers, lanes, async (server) => {
        try {
          const result = await deadlines.hold(server.name, (isAway) =>
            this.#untilReached(server, tries === 'a few' ? aFew : Infinity, work, isAway),
          );
          results.set(server.name, result);
        } catch (error) {
          this.leave(server.name, error);
        }
      });
      // In the order of the servers, whoever was first: evidence has to read the same twice.
      return servers.flatMap(({ name }) => (results.has(name) ? [results.get(name) as Result] : []));
    });
  }

  /** A machine that boots is away for a while, and comes back as it was. */
  async #untilReached<Result>(
    server: Server,
    tries: number,
    work: (server: Server, isAgain: boolean) => Promise<Result>,
    isAway: (because: Complaint) => void,
  ): Promise<Result> {
    for (let timesFailed = 0; ;) {
      try {
        return await work(server, timesFailed > 0);
      } catch (error) {
        const complaint = complaintOf(error);
        if (complaint.failure !== 'ServerUnreachable' || ++timesFailed >= tries) throw error;
        isAway(complaint);
        this.#board.tellServer(server.name, 'unreachable', complaint.message);
        if (timesFailed === 1) this.#board.publishInPassing();
        await sleep(awayMs(timesFailed), { summary: `${server.name} is unreachable` });
      }
    }
  }

  /** Goes on without a server, or throws where that is not borne. */
  leave(server: ServerName, error: unknown): void {
    const complaint = complaintOf(error);
    if (!isAboutOneServer(complaint)) throw error;
    if (this.isLeftBehind(server)) return;
    if (this.mayStillFail === 0)
      throw this.#leftBehind.length === 0 ? error : this.#tooMany(server, complaint);
    this.goOnWithout({ server, because: complaint.message });
    this.#board.publishInPassing();
  }

  /** Notes that a server that was left behind could not be put back either; throws for any other. */
  leaveAsItIs(server: ServerName, error: unknown): void {
    const complaint = complaintOf(error);
    if (!this.isLeftBehind(server) || !isAboutOneServer(complaint)) throw error;
    this.keepOut(server);
    this.#board.tellServer(server, 'left behind', complaint.message);
    this.#board.note(
      `${describeLeftBehind({ server, because: complaint.message })}; it stays out of the load balancer`,
    );
  }

  goOnWithout(left: LeftBehind): void {
    if (this.#leftBehind.length === 0) this.#onFirst();
    this.#leftBehind = [...this.#leftBehind, left];
    this.#board.tell({ leftBehind: this.#leftBehind });
    this.#board.tellServer(left.server, 'left behind', left.because);
    this.#board.note(`Left behind: ${describeLeftBehind(left)}`);
  }

  /** It is not as it was before: no traffic for it, whatever becomes live. */
  keepOut(server: ServerName): void {
    this.#notPutBack.add(server);
  }

  #tooMany(server: ServerName, { failure, message }: Complaint): Error {
    const all = this.#service.environments[this.#color].length;
    const failed = [...this.#leftBehind, { server, because: message }];
    const lines = failed.map((left) => `\n  ${describeLeftBehind(left)}`).join('');
    return asFailure({
      failure: failure,
      message: `Cannot go on with "${this.#service.id}": ${failed.length} of ${all} servers of ${this.#color} have failed, at most ${this.#leftBehind.length} may be left behind${lines}\n  mend them, and deploy again: verdigris deploy; where more may be missing: fleet.mayFail`,
    });
  }
}
