import { mkdir, open, readFile, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { colors } from '../domain/color.js';
import { handSwitchStates, type HandSwitch } from '../domain/hand-switch.js';
import type { ServiceId } from '../domain/names.js';

/** One call of the load balancer's API, as support wants to hear of it. Without secrets. */
export interface RecordedCall {
  readonly at: string;
  readonly method: string;
  readonly path: string;
  readonly sent?: unknown;
  readonly status?: number | undefined;
  readonly queryId?: string | undefined;
  readonly error?: string;
}

/** A hand switch with what it saw and did. */
export interface HandSwitchRecord extends HandSwitch {
  readonly force: boolean;
  /** What each entry point sent its traffic to before. */
  readonly targets: readonly string[];
  /** Edits that were stored and not published before. */
  readonly staged: readonly string[];
  /** Digest by name of every object of the load balancer, as they were when nothing of this was stored. */
  readonly objects: Readonly<Record<string, string>>;
  readonly published?: readonly string[];
  readonly tookMs?: number;
  /** Why it ended like this, where it did not end well. */
  readonly because?: string;
  readonly calls: readonly RecordedCall[];
}

/** What others need to know of it. */
export const inShort = ({
  service,
  by,
  reason,
  from,
  to,
  beganAt,
  endedAt,
  state,
}: HandSwitchRecord): HandSwitch => ({
  service,
  by,
  ...(reason === undefined ? {} : { reason }),
  from,
  to,
  beganAt,
  ...(endedAt === undefined ? {} : { endedAt }),
  state,
});

const kind = 'verdigris switch --without-temporal';

const Document = z.looseObject({
  kind: z.literal(kind),
  service: z.string(),
  by: z.string(),
  reason: z.string().optional(),
  from: z.string(),
  to: z.enum(colors),
  beganAt: z.iso.datetime(),
  endedAt: z.iso.datetime().optional(),
  state: z.enum(handSwitchStates),
  force: z.boolean(),
  targets: z.array(z.string()),
  staged: z.array(z.string()),
  objects: z.record(z.string(), z.string()),
  published: z.array(z.string()).optional(),
  tookMs: z.number().optional(),
  because: z.string().optional(),
  calls: z.array(z.looseObject({ at: z.string(), method: z.string(), path: z.string() })),
});

/** The records of hand switches that this machine has, for whoever they were made by: one file each. */
export class HandSwitches {
  readonly #folder: string;

  constructor(folder: string = usualFolder()) {
    this.#folder = folder;
  }

  /** Where the record of a switch that begins at this moment goes. */
  fileFor(service: ServiceId, beganAt: string): string {
    return join(this.#folder, service, `${beganAt.replaceAll(':', '-')}.json`);
  }

  /** The newest record of a service that can be read; one that is no record is passed over. */
  async last(service: ServiceId): Promise<HandSwitchRecord | undefined> {
    const folder = join(this.#folder, service);
    const names = await readdir(folder).catch(ifMissing(() => [] as readonly string[]));
    for (const name of names
      .filter((each) => each.endsWith('.json'))
      .toSorted()
      .toReversed()) {
      const record = await readRecord(join(folder, name));
      if (record?.service === service) return record;
    }
    return undefined;
  }
}

/** `XDG_STATE_HOME`, as its specification has it: what is not absolute there counts as not set. */
function usualFolder(): string {
  const state = process.env['XDG_STATE_HOME'];
  return join(state?.startsWith('/') ? state : join(homedir(), '.local/state'), 'verdigris/switches');
}

/** What the file holds; nothing where there is none, or where it holds something else. */
export async function readRecord(file: string): Promise<HandSwitchRecord | undefined> {
  const text = await readFile(file, 'utf8').catch(ifMissing(() => ''));
  const result = Document.safeParse(parsed(text));
  return result.success ? (result.data as unknown as HandSwitchRecord) : undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Writes the whole record beside the old one and takes its place, so that a crash leaves one or the other. */
export async function writeRecord(file: string, record: HandSwitchRecord): Promise<void> {
  const path = resolve(file);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const aside = `${path}.${process.pid}.new`;
  try {
    const handle = await open(aside, 'w', 0o600);
    try {
      await handle.writeFile(`${JSON.stringify({ kind, ...record }, undefined, 2)}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(aside, path);
  } catch (error) {
    await rm(aside, { force: true });
    throw error;
  }
}

const ifMissing =
  <Value>(instead: () => Value) =>
  (error: NodeJS.ErrnoException): Value => {
    if (error.code === 'ENOENT' || error.code === 'EACCES' || error.code === 'ENOTDIR') return instead();
    throw error;
  };
