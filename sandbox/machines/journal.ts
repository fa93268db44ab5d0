import { EventEmitter } from 'node:events';
import type { Readable } from 'node:stream';

/** One line of the journal. */
export interface JournalEntry {
  readonly cursor: number;
  /** Since 1970. */
  readonly atMicroseconds: number;
  /** The unit that it is about. */
  readonly unit: string;
  readonly invocationId: string;
  /** `unit`: the unit's program wrote it. `systemd`: it tells about the unit. */
  readonly from: 'unit' | 'systemd';
  readonly identifier: string;
  readonly pid: number;
  /** As in syslog: 3 is an error, 6 is informational. */
  readonly priority: number;
  readonly message: string;
}

type NewEntry = Omit<JournalEntry, 'cursor' | 'atMicroseconds'>;

/** journald cuts a line that grows longer than this. */
const longestLineBytes = 48 * 1024;

/** The last lines of all units of one machine, in the order in which they came. */
export class Journal {
  readonly #capacity: number;
  readonly #entries: JournalEntry[] = [];
  readonly #appended = new EventEmitter<{ entry: [JournalEntry] }>();
  #count = 0;

  /** Forgets the oldest beyond `capacity`. */
  constructor(capacity = 20_000) {
    this.#capacity = capacity;
    this.#appended.setMaxListeners(0);
  }

  append(entry: NewEntry): void {
    this.#count += 1;
    const whole = { ...entry, cursor: this.#count, atMicroseconds: nowMicroseconds() };
    this.#entries.push(whole);
    if (this.#entries.length > this.#capacity * 1.1)
      this.#entries.splice(0, this.#entries.length - this.#capacity);
    this.#appended.emit('entry', whole);
  }

  /** Appends what a stream brings, line by line. A last line without its end counts when the stream ends. */
  follow(stream: Readable, entryOf: (message: string) => NewEntry): void {
    let rest = '';
    const flush = (message: string) => this.append(entryOf(message));

    stream.setEncoding('utf8');
    stream.on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) flush(line);
      while (rest.length > longestLineBytes) {
        flush(rest.slice(0, longestLineBytes));
        rest = rest.slice(longestLineBytes);
      }
    });
    stream.once('end', () => {
      if (rest !== '') flush(rest);
    });
  }

  entries(): readonly JournalEntry[] {
    return this.#entries;
  }

  /** Calls `listener` with every entry from now on. @returns what ends that. */
  watch(listener: (entry: JournalEntry) => void): () => void {
    this.#appended.on('entry', listener);
    return () => this.#appended.off('entry', listener);
  }
}

const nowMicroseconds = (): number => Date.now() * 1000;
