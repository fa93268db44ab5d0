import { Failure } from '../../../domain/failures.js';
import type { OvhApi } from '../../../ovh/api.js';
import { OvhError } from '../../../ovh/error.js';
import type { Time } from '../../../ovh/time.js';
import { readAs } from '../ovh-document.js';
import { Balancer } from './documents.js';

const firstPollMs = 20;
const longestPollMs = 4_000;

/** Reads that show an object as it was before are believed after this long. */
const lagMs = 10_000;

/** Tries of a write that was not carried out, for reasons other than the lock. */
const attempts = 5;

type Say = (what: string) => void;

/** One field of one object as it shall be, and how that is written and read. */
export interface Write {
  /** For people: the object and its new value. */
  readonly words: string;
  /** Whether it is so. */
  readonly holds: () => Promise<boolean>;
  /** Writes it, reading what has to be sent along just before. */
  readonly put: () => Promise<void>;
}

/** How a write ended: it shows, or somebody else has changed the same since. */
export type Written = 'shown' | 'overwritten';

/** The lock that every change of a load balancer takes while it is applied: until then no other is accepted. */
export class Lock {
  readonly #api: OvhApi;
  readonly #path: string;
  readonly #name: string;
  readonly #deadlineMs: number;
  readonly #time: Time;
  readonly #again: string;

  /** `again` is what a person calls once the load balancer is well. */
  constructor(
    api: OvhApi,
    root: string,
    id: string,
    deadlineMs: number,
    time: Time,
    again = 'verdigris retry',
  ) {
    this.#api = api;
    this.#path = `${root}/loadbalancer/${id}`;
    this.#name = id;
    this.#deadlineMs = deadlineMs;
    this.#time = time;
    this.#again = again;
  }

  /** Waits until nothing is being applied. `seenThrough` also waits for an API that does not answer. */
  async free(
    say: Say,
    how: { readonly signal?: AbortSignal; readonly seenThrough?: true } = {},
  ): Promise<void> {
    const endMs = this.#time.nowMs() + this.#deadlineMs;
    for (let pollMs = firstPollMs; ; pollMs = Math.min(pollMs * 2, longestPollMs)) {
      const status = await this.#status(how);
      if (status === 'active') return;
      if (hopeless.has(status)) throw this.#inError(status);
      if (this.#time.nowMs() > endMs) {
        throw new Failure(
          'RefreshFailed',
          `Cannot wait longer for load balancer "${this.#name}": it is still "${status}" after ${seconds(this.#deadlineMs)}, needs to be active\n  nothing of ours was changed by this wait; once it is active, or support has helped, try again`,
        );
      }
      say(`waiting for load balancer ${this.#name}, which is ${status}`);
      await this.#time.sleep(withJitter(pollMs), how.signal);
    }
  }

  /**
   * Carries one write out, whatever becomes of its answer, and waits until it is applied. Whoever gives up (`signal`) is heard
   * before it is sent and never after.
   */
  async change(write: Write, say: Say, signal?: AbortSignal): Promise<Written> {
    const endMs = this.#time.nowMs() + this.#deadlineMs;
    for (let tries = 1; ; tries++) {
      await this.free(say, signal ? { signal } : {});
      // Whoever asks has just looked; after a while it may be so by somebody else.
      if (tries > 1 && (await write.holds())) return 'shown';
      signal?.throwIfAborted();
      say(write.words);
      signal?.throwIfAborted();
      const outcome = await this.#attempt(write, tries);
      if (outcome.kind !== 'locked') {
        await this.free(say, { seenThrough: true });
        if (await this.#shows(write, outcome.kind === 'accepted')) return 'shown';
        if (outcome.kind === 'accepted') return 'overwritten';
      }
      if (this.#time.nowMs() > endMs) throw this.#tooLate(write, outcome.because);
      await this.#time.sleep(withJitter(Math.min(firstPollMs * 2 ** tries, longestPollMs)), signal);
    }
  }

  async #attempt(write: Write, tries: number): Promise<Attempt> {
    try {
      await write.put();
      return { kind: 'accepted', because: 'it was accepted' };
    } catch (error) {
      if (!(error instanceof OvhError)) throw error;
      const because = error.message;
      if (isLocked(error)) return { kind: 'locked', because };
      if (error.ambiguous) return { kind: 'unknown', because };
      if (!error.passing || tries >= attempts) throw error;
      if (error.retryAfterMs !== undefined) await this.#time.sleep(error.retryAfterMs);
      return { kind: 'locked', because };
    }
  }

  /** What was accepted may be read a little later only. */
  async #shows({ holds }: Write, wasAccepted: boolean): Promise<boolean> {
    const endMs = this.#time.nowMs() + Math.min(lagMs, this.#deadlineMs / 10);
    for (let pollMs = firstPollMs; ; pollMs = Math.min(pollMs * 2, longestPollMs)) {
      if (await holds()) return true;
      if (!wasAccepted || this.#time.nowMs() > endMs) return false;
      await this.#time.sleep(pollMs);
    }
  }

  async #status({ signal, seenThrough }: { readonly signal?: AbortSignal; readonly seenThrough?: true }) {
    try {
      const options = signal ? { signal } : {};
      return (await readAs(this.#api, this.#path, Balancer, options)).provisioningStatus;
    } catch (error) {
      if (seenThrough && error instanceof OvhError && error.passing) return `unknown (${error.message})`;
      throw error;
    }
  }

  #inError(status: string): Failure {
    const because =
      status === 'error'
        ? 'its last change has failed (provisioning status "error")'
        : `it is being deleted (provisioning status "${status}")`;
    return new Failure(
      'StateUnclear',
      `Cannot use load balancer "${this.#name}": ${because} and no other is accepted, needs a person
  it probably carries traffic as before that change; nothing of ours can be moved there
  ask OVHcloud's support for a failover, or move the address away from it; then: ${this.#again}`,
    );
  }

  #tooLate({ words }: Write, because: string): Failure {
    return new Failure(
      'RefreshFailed',
      `Cannot change load balancer "${this.#name}" (${words}): it was tried for ${seconds(this.#deadlineMs)}, and at last: ${because}; needs the load balancer to be free`,
    );
  }
}

interface Attempt {
  readonly kind: 'accepted' | 'locked' | 'unknown';
  readonly because: string;
}

const hopeless: ReadonlySet<string> = new Set(['error', 'deleting', 'deleted']);

/**
 * How OVHcloud passes the lock on is documented nowhere: the sentence of Octavia may come with any status, or a 409 alone. A 409
 * also says that something is there already, for which waiting is no help.
 */
export const isLocked = ({ status, message }: OvhError): boolean =>
  /immutable|PENDING_(?:CREATE|UPDATE|DELETE)/i.test(message) ||
  (status === 409 && !/\balready\b/i.test(message));

/** Two that wait for the same shall not ask at the same moment for ever. */
const withJitter = (ms: number): number => ms * (0.75 + Math.random() / 2);

const seconds = (ms: number): string => `${Math.round(ms / 1_000)} s`;
