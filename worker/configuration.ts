import { accessSync, constants, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { Failure } from '../domain/failures.js';
import {
  complaintsOf,
  describeComplaint,
  describeError,
  type ConfigurationComplaint,
} from '../configuration/complaints.js';
import { isRecord, parseSource } from '../configuration/documents.js';
import { knownKeysIn } from '../configuration/known-keys.js';
import { AgentsSchema } from './agents.js';
import { SecretsSchema } from './secrets.js';

const needs = (what: string) => ({ error: `needs ${what}` });
const map = <Shape extends z.ZodRawShape>(shape: Shape) => z.strictObject(shape, needs('a map'));
const whole = (what: string) => z.int(needs(what)).positive(needs(what));

const Schema = map({
  secrets: SecretsSchema,
  agents: AgentsSchema,
  cache: map({
    directory: z
      .string(needs('the folder that keeps fetched artifacts'))
      .default('~/.cache/verdigris/artifacts'),
    maxBytes: whole('a number of bytes above 0').default(10e9),
  }).prefault({}),
  trust: z.string(needs('a file of PEM certificates to trust beside the public ones')).optional(),
  ovh: map({
    requestsPerSecond: z.number(needs('a number above 0')).positive(needs('a number above 0')).default(5),
    burst: whole('a whole number above 0').default(10),
  }).prefault({}),
  ssh: map({ handshakes: whole('a whole number above 0').default(20) }).prefault({}),
  slots: map({ activities: whole('a whole number above 0').default(200) }).prefault({}),
});

/** What only this worker knows: what names of secrets resolve to, and who may have them. Read once, at its start. */
export type WorkerConfiguration = z.infer<typeof Schema>;

/** Reads `worker.yaml`, or throws with every complaint at once, each with its line. Paths are relative to the file. */
export function readWorkerConfiguration(path: string): WorkerConfiguration {
  const source = parseSource(path, readText(path));
  const result = Schema.safeParse(source.value);
  const absolute = (file: string) => resolve(dirname(path), file.replace(/^~(?=\/)/, homedir()));
  const known = knownKeysIn(z.toJSONSchema(Schema, { io: 'input' }), source.value);
  const complaints = [
    // Nothing is to be said of values where the YAML itself is not understood.
    ...(result.success || source.value === undefined ? [] : complaintsOf(result.error.issues, known)),
    ...complaintsAboutTrust(source.value, absolute),
  ];
  const texts = [
    ...source.errors.map(describeError),
    ...complaints.map((complaint) => describeComplaint(complaint, [source])),
  ].map(({ text }) => `  ${text}`);
  if (!result.success || texts.length > 0) {
    throw new Failure('RequestInvalid', [`Cannot use ${path}:`, ...texts].join('\n'));
  }
  const { cache, trust, ...rest } = result.data;
  return {
    ...rest,
    cache: { ...cache, directory: absolute(cache.directory) },
    ...(trust === undefined ? {} : { trust: absolute(trust) }),
  };
}

/** Read at the start, so looked at then: a worker that cannot trust whom it has to is of no use. */
function complaintsAboutTrust(
  value: unknown,
  absolute: (file: string) => string,
): readonly ConfigurationComplaint[] {
  const trust = isRecord(value) ? value['trust'] : undefined;
  if (typeof trust !== 'string') return [];
  try {
    accessSync(absolute(trust), constants.R_OK);
    return [];
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const message = `"${trust}" cannot be read (${code}), needs a file of PEM certificates`;
    return [{ path: ['trust'], at: 'value', message }];
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'there is no such file' : message;
    throw new Failure(
      'RequestInvalid',
      `Cannot read "${path}": ${why}, needs a file that says what names of secrets resolve to (--config FILE)\n  see docs/worker.example.yaml`,
      { cause },
    );
  }
}
