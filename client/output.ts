import { createInterface } from 'node:readline/promises';
import { Refusal } from './refusal.js';

/** Where a command's words go. With `--json` stdout carries documents and nothing else. */
export interface Output {
  readonly json: boolean;
  /** Somebody sits there who can be shown progress and asked. */
  readonly interactive: boolean;
  /** Lines for people; silent with `--json`. */
  say(lines: string | readonly string[]): void;
  /** One document for machines; silent without `--json`. */
  document(value: unknown): void;
  /** One line of a stream of documents; silent without `--json`. */
  documentLine(value: unknown): void;
  /** What people should know although it is not the answer: on stderr, so that it never mixes with documents. */
  notice(text: string): void;
}

export function createOutput(json: boolean): Output {
  const write = (text: string) => process.stdout.write(`${text}\n`);
  return {
    json,
    interactive: !json && process.stdin.isTTY === true && process.stdout.isTTY === true && !process.env['CI'],
    say: (lines) => {
      if (!json) write(typeof lines === 'string' ? lines : lines.join('\n'));
    },
    document: (value) => {
      if (json) write(JSON.stringify(value, undefined, 2));
    },
    documentLine: (value) => {
      if (json) write(JSON.stringify(value));
    },
    notice: (text) => process.stderr.write(`${text}\n`),
  };
}

/** Asks a yes-or-no question; anything but yes is no. Only where somebody sits there. */
export async function confirm(question: string): Promise<boolean> {
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  const interrupted = new AbortController();
  prompt.once('SIGINT', () => interrupted.abort());
  prompt.once('close', () => interrupted.abort());
  try {
    const answer = await prompt.question(`${question} [y/N] `, { signal: interrupted.signal });
    return /^y(es)?$/i.test(answer.trim());
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    throw new Refusal('\nNothing was sent', { exitCode: 130, cause: error });
  } finally {
    prompt.close();
  }
}
