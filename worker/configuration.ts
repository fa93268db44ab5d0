import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { Failure } from '../domain/failures.js';
import { complaintsOf, describeComplaint, describeError } from '../configuration/complaints.js';
import { parseSource } from '../configuration/documents.js';
import { AgentsSchema } from './agents.js';
import { SecretsSchema } from './secrets.js';

const Schema = z.strictObject({
  secrets: SecretsSchema,
  agents: AgentsSchema,
  cache: z
    .strictObject({
      directory: z.string({ error: 'needs the folder that keeps fetched artifacts' }),
      maxBytes: z.int().positive().default(10e9),
    })
    .prefault({ directory: '~/.cache/verdigris/artifacts' }),
  trust: z.string({ error: 'needs a file of PEM certificates to trust beside the public ones' }).optional(),
  ovh: z
    .strictObject({
      requestsPerSecond: z.number().positive().default(5),
      burst: z.int().positive().default(10),
    })
    .prefault({}),
  ssh: z.strictObject({ handshakes: z.int().positive().default(20) }).prefault({}),
  slots: z.strictObject({ activities: z.int().positive().default(200) }).prefault({}),
});

/** What only this worker knows: what names of secrets resolve to, and who may have them. Read once, at its start. */
export type WorkerConfiguration = z.infer<typeof Schema>;

/** Reads `worker.yaml`, or throws with every complaint at once, each with its line. Paths are relative to the file. */
export function readWorkerConfiguration(path: string): WorkerConfiguration {
  const source = parseSource(path, readText(path));
  const result = Schema.safeParse(source.value);
  const known = () => Object.keys(Schema.shape);
  const complaints = [
    ...source.errors.map(describeError),
    ...(result.success
      ? []
      : complaintsOf(result.error.issues, known).map((issue) => describeComplaint(issue, [source]))),
  ];
  if (!result.success || complaints.length > 0) {
    throw new Failure(
      'RequestInvalid',
      [`Cannot use ${path}:`, ...complaints.map(({ text }) => `  ${text}`)].join('\n'),
    );
  }
  const { cache, trust, ...rest } = result.data;
  const absolute = (file: string) => resolve(dirname(path), file.replace(/^~(?=\/)/, homedir()));
  return {
    ...rest,
    cache: { ...cache, directory: absolute(cache.directory) },
    ...(trust === undefined ? {} : { trust: absolute(trust) }),
  };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const needs = 'needs a file that says what names of secrets resolve to';
    throw new Failure(
      'RequestInvalid',
      `Cannot read "${path}": ${(cause as Error).message}, ${needs}\n  see docs/worker.example.yaml`,
      { cause },
    );
  }
}
