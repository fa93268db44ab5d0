import { ApplicationFailure, log, setHandler } from '@temporalio/workflow';
import { isMeant } from '../domain/names.js';
import type { Message, Status } from '../domain/deployment.js';
import { isAnswer, messageNames, refusalOf, verbOf, type MessageName } from '../domain/phase.js';
import { signals, statusQuery, updates, type Answer, type MessageInput } from './messages.js';
import type { StatusBoard } from './status-board.js';

/** Who said what, and why. */
export interface Said {
  readonly by: string;
  readonly reason: string;
  readonly force: boolean;
  readonly byMs: number;
}

type Listener = (said: Said) => void;

const descriptions: Readonly<Record<MessageName, string>> = {
  approve:
    'Give the new release the traffic. No input needed; {"by": "...", "plan": "...", "evidence": "..."} is checked if given',
  reject: 'Say no: everything is put back. No input needed; {"by": "...", "reason": "..."}',
  rollback:
    'Go back: traffic first, then everything else. No input needed; {"by": "...", "reason": "...", "force": true}',
  advance: 'End the bake early and promote. No input needed',
  extend: 'Make the bake longer: {"byMs": 600000}; ten minutes without input',
  retry:
    'Try again what waits for a person. No input needed; {"force": true} cuts connections that linger on what has to be stopped',
  'take-over':
    'Take what is left out of its hands. It ends as failed; then only "verdigris repair" is accepted',
};

/**
 * Hears what people say. Each message comes as an update (checked, answered) or as a signal (also bare, from the Temporal UI),
 * with one rule behind both. Handlers only note and wake; nothing that is sent can break the run.
 */
export class Inbox {
  readonly #board: StatusBoard;
  readonly #listeners = new Map<MessageName, Listener>();

  constructor(board: StatusBoard) {
    this.#board = board;
  }

  /** Who is told of a message that was accepted. */
  on(name: MessageName, listener: Listener): void {
    this.#listeners.set(name, listener);
  }

  /** Begins to hear. What was sent before the run began is heard at once, so whoever has to be told of it must be known by now. */
  open(): void {
    setHandler(statusQuery, () => this.#board.status, { description: 'Everything about this run' });
    for (const name of messageNames) this.#register(name);
  }

  #register(name: MessageName): void {
    const description = descriptions[name];
    setHandler(signals[name], (input?: MessageInput) => this.#hearSignal(name, input), { description });
    setHandler(updates[name], (input?: MessageInput) => this.#accept(name, parse(input)), {
      description,
      validator: (input?: MessageInput) => {
        const why = this.#whyNot(name, parse(input));
        if (why) throw ApplicationFailure.nonRetryable(why, 'MessageRefused');
      },
    });
  }

  #hearSignal(name: MessageName, input: unknown): void {
    const message = parse(input);
    const why = this.#whyNot(name, message);
    if (why === undefined) {
      this.#accept(name, message);
    } else {
      log.warn('signal ignored', { signal: name, why });
      this.#board.note(`A signal was ignored: ${why}`);
    }
  }

  #accept(name: MessageName, message: Message): Answer {
    this.#listeners.get(name)?.({
      by: message.by ?? 'somebody (no name was sent)',
      reason: message.reason ?? '',
      force: message.force ?? false,
      byMs: message.byMs ?? 600_000,
    });
    const { deployment, stage } = this.#board.status;
    return { deployment, stage, next: acceptedAnswer[name] };
  }

  #whyNot(name: MessageName, message: Message): string | undefined {
    const { status } = this.#board;
    const why =
      whyNotThisRun(status, message) ??
      refusalOf(name, status.stage, status.kind) ??
      whyNotAnyMore(name, status) ??
      whyNotThisPlan(name, status, message);
    return why === undefined ? undefined : `Cannot ${verbOf(name)} "${status.service}": ${why}`;
  }
}

function whyNotThisRun({ deployment }: Status, { deployment: meant }: Message): string | undefined {
  if (meant === undefined || isMeant(deployment, meant)) return undefined;
  return `the message is for deployment ${meant}, this is ${deployment}`;
}

/** An answer that was given stands while the servers are verified once more. */
function whyNotAnyMore(name: MessageName, { awaits }: Status): string | undefined {
  if (!isAnswer(name) || awaits !== undefined) return undefined;
  return 'it was answered already (to stop it: verdigris rollback)';
}

function whyNotThisPlan(name: MessageName, { plan, evidence }: Status, message: Message): string | undefined {
  if (name !== 'approve') return undefined;
  if (message.plan !== undefined && !plan?.hash.startsWith(message.plan)) {
    return `the plan is ${plan?.hash.slice(0, 12)}, the approval is for ${message.plan.slice(0, 12)}; look again: verdigris status`;
  }
  if (message.evidence !== undefined && !evidence?.hash.startsWith(message.evidence)) {
    return `the evidence is ${evidence?.hash.slice(0, 12)}, the approval is for ${message.evidence.slice(0, 12)}; look again: verdigris status`;
  }
  return undefined;
}

const acceptedAnswer: Readonly<Record<MessageName, string>> = {
  approve: 'the servers are verified once more, then the traffic is switched',
  reject: 'what was installed is taken back; the live environment stays as it is',
  rollback: 'the step in flight ends, then traffic goes back first and the rest is undone',
  advance: 'the bake ends now; the new release is promoted if nothing speaks against it',
  extend: 'the bake lasts longer',
  retry: 'it is tried again now',
  'take-over': 'it ends as taken over; what is left undone is listed in its failure',
};

/** A week: dates stay dates, whatever is sent. */
const longestExtensionMs = 7 * 24 * 3_600_000;

/** What is sent ends up in the memo, whose size has a limit. */
const longestText = 500;

/** Accepts nothing, a string (the reason) or an object; anything else counts as nothing. Never throws. */
function parse(input: unknown): Message {
  if (typeof input === 'string') return text({ reason: input });
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return {};
  const { deployment, by, reason, plan, evidence, force, byMs } = input as Record<string, unknown>;
  return {
    ...text({ deployment, by, reason, plan, evidence }),
    ...(force === true ? { force } : {}),
    ...(typeof byMs === 'number' && byMs > 0 ? { byMs: Math.min(Math.ceil(byMs), longestExtensionMs) } : {}),
  };
}

const text = (members: Record<string, unknown>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(members).flatMap(([name, value]) =>
      typeof value === 'string' && value !== '' ? [[name, value.slice(0, longestText)]] : [],
    ),
  );
