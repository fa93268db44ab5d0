import { readFileSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { Failure } from '../../domain/failures.js';
import type { HealthQuestion, Sample } from '../../domain/health.js';
import type { Server } from '../../domain/service.js';
import { AttentiveWait } from '../attention.js';
import { shellLine } from './quoting.js';
import { ChannelsTaken } from './ssh-channels.js';
import type { Execution, Exit } from './ssh-command.js';

type Execute = (line: string, execution: Execution) => Promise<Exit>;

/** It costs one of few sessions: it ends when nobody has asked anything for this long. */
const staysMs = 5_000;

/** What a machine may need to start what asks, beside the time that the program has. */
const graceMs = 5_000;

interface Waiting {
  readonly answer: (line: string) => void;
  readonly fail: (why: string) => void;
  /** It could not be put at all, which says nothing of the program. */
  readonly refuse: (error: unknown) => void;
}

/** One command that takes questions, and those that it has not answered. */
interface Running {
  readonly stdin: Promise<Writable>;
  readonly stop: AbortController;
  readonly waiting: Map<string, Waiting>;
}

/**
 * Puts questions to programs on a machine that forbids tunnels: by one command that takes one question after the other,
 * as the login user, with what the machine has. Nothing is installed there.
 */
export class ProbeCommand {
  readonly #execute: Execute;
  #running: Running | undefined;
  #idle: NodeJS.Timeout | undefined;
  #asked = 0;

  constructor(execute: Execute) {
    this.#execute = execute;
  }

  /** Never throws for a bad answer. @throws the signal's reason; whatever giving a command throws */
  async ask(address: Server['probe'], question: HealthQuestion, signal: AbortSignal): Promise<Sample> {
    signal.throwIfAborted();
    clearTimeout(this.#idle);
    const running = (this.#running ??= this.#start());
    const { stdin, waiting } = running;
    this.#asked += 1;
    const id = `q${this.#asked}`;
    const answered = answerTo(waiting, id, question, signal);
    try {
      const { timeoutMs, path, identityHeader = '-' } = question;
      const line = [id, timeoutMs, address.address, address.port, path, identityHeader].join(' ');
      const asking = stdin.then((opened) => void opened.write(`${line}\n`));
      await Promise.race([asking, answered]);
      return await answered;
    } finally {
      waiting.delete(id);
      if (waiting.size === 0 && this.#running === running) {
        this.#idle = setTimeout(() => this.#end(running), staysMs);
        this.#idle.unref();
      }
    }
  }

  /** Who asks from now on is not told how this one has ended. */
  #end(running: Running): void {
    if (this.#running === running) this.#running = undefined;
    running.stop.abort(new Error('nobody asks any more'));
  }

  #start(): Running {
    const stop = new AbortController();
    const waiting = new Map<string, Waiting>();
    let opened: (stdin: Writable) => void = () => undefined;
    let refused: (error: unknown) => void = () => undefined;
    const stdin = new Promise<Writable>((resolve, reject) => {
      opened = resolve;
      refused = reject;
    });
    const running = { stdin, stop, waiting };
    const ended = (tell: (one: Waiting) => void) => {
      if (this.#running === running) this.#running = undefined;
      for (const one of waiting.values()) tell(one);
    };
    this.#execute(shellLine(['sh', '-c', probeText(), 'verdigris-probe']), {
      signal: stop.signal,
      deadlineMs: undefined,
      lasting: true,
      onLine: (line, channel) => {
        if (line.startsWith('tool=')) opened(channel);
        else hear(waiting, line);
      },
    }).then(
      ({ stderr }) => {
        const why = `what asks on the machine ended: ${stderr.trim().split('\n').at(-1) ?? ''}`;
        refused(new Error(why));
        ended(({ fail }) => fail(why));
      },
      (error: unknown) => {
        refused(error);
        const unasked = error instanceof ChannelsTaken || error instanceof Failure;
        ended(({ fail, refuse }) => (unasked ? refuse(error) : fail((error as Error).message)));
      },
    );
    stdin.catch(() => undefined);
    return running;
  }
}

function answerTo(
  waiting: Map<string, Waiting>,
  id: string,
  { timeoutMs }: HealthQuestion,
  signal: AbortSignal,
): Promise<Sample> {
  return new Promise<Sample>((resolve, reject) => {
    const limitMs = timeoutMs + graceMs;
    const late = () => fail(`the machine did not answer what asks within ${limitMs} ms`);
    const wait = new AttentiveWait(limitMs, late);
    const settle = (act: () => void) => {
      wait.end();
      signal.removeEventListener('abort', onAbort);
      act();
    };
    const fail = (because: string) => settle(() => resolve({ kind: 'silent', because }));
    const onAbort = () => settle(() => reject(signal.reason as Error));
    signal.addEventListener('abort', onAbort);
    waiting.set(id, {
      answer: (line) => settle(() => resolve(sampleFrom(line))),
      fail,
      refuse: (error) => settle(() => reject(error as Error)),
    });
  });
}

function hear(waiting: ReadonlyMap<string, Waiting>, line: string): void {
  const space = line.indexOf(' ');
  waiting.get(line.slice(0, space))?.answer(line.slice(space + 1));
}

/** `answered 200 12 v1` or `silent connection refused` */
function sampleFrom(line: string): Sample {
  const [kind, ...words] = line.split(' ');
  if (kind !== 'answered') return { kind: 'silent', because: words.join(' ') };
  const [status, tookMs, ...identity] = words;
  const answer = { kind: 'answered', status: Number(status), tookMs: Number(tookMs) } as const;
  const name = identity.join(' ');
  return name === '' ? answer : { ...answer, identity: name };
}

let text: string | undefined;

/** It travels with the command, without its comments. */
function probeText(): string {
  text ??= readFileSync(new URL('probe.sh', import.meta.url), 'utf8')
    .split('\n')
    .map((line) => line.trimStart())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .join('\n');
  return text;
}
