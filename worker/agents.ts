import { homedir } from 'node:os';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { Failure } from '../domain/failures.js';
import type { Agents } from '../drivers/agents.js';
import { grantedTo, mapNeeds, nameNeeds, namePattern, refusedBy } from './grants.js';

const AgentSchema = z
  .strictObject(
    {
      /** Where the agent listens, relative to this file. */
      socket: z
        .string({ error: 'needs the path of a socket' })
        .min(1, 'needs the path of a socket')
        .optional(),
      /** Name of an environment variable of the worker that holds that path, for example `SSH_AUTH_SOCK`. */
      env: z
        .string({ error: 'needs the name of an environment variable' })
        .min(1, 'needs the name of an environment variable')
        .optional(),
      /** Fingerprints of the keys that may be used, as `ssh-add -l` prints them; all that the agent holds when left out. */
      keys: z
        .array(
          z
            .string()
            .regex(/^SHA256:[A-Za-z0-9+/]{43}$/, 'needs a fingerprint as ssh-add -l prints it, SHA256:...'),
          { error: 'needs a list of fingerprints' },
        )
        .min(1, 'is empty, needs a fingerprint')
        .optional(),
      ...grantedTo,
    },
    { error: mapNeeds('where it listens (socket or env), services and hosts') },
  )
  .refine(({ socket, env }) => (socket === undefined) !== (env === undefined), {
    error: 'needs exactly one of socket and env',
  });

/** The part `agents:` of `worker.yaml`, by the names that services use. */
export const AgentsSchema = z
  .record(z.string().regex(namePattern, nameNeeds), AgentSchema, { error: 'needs names of agents' })
  .default({});

export type AgentsConfiguration = z.infer<typeof AgentsSchema>;

/** Who may use which SSH agent of this worker, as `sourcePath` (`worker.yaml`) says. */
export function createAgents(configuration: AgentsConfiguration, sourcePath: string): Agents {
  return {
    async resolve({ agent: name }, use) {
      const refuse = (why: string) =>
        new Failure('SecretRefused', `Cannot use agent "${name}" for ${use.service} at ${use.host}: ${why}`);
      const settings = Object.hasOwn(configuration, name) ? configuration[name] : undefined;
      if (!settings) throw refuse(`${sourcePath} has no such agent, needs agents.${name}`);
      const refused = refusedBy(settings, use, `agents.${name}`, sourcePath);
      if (refused !== undefined) throw refuse(refused);
      const { env, keys } = settings;
      const path = settings.socket ?? process.env[env ?? ''];
      if (path === undefined || path === '') {
        throw refuse(`the worker's environment variable ${env} is not set (agents.${name} in ${sourcePath})`);
      }
      const socket = resolve(dirname(sourcePath), path.replace(/^~(?=\/)/, homedir()));
      return { socket, ...(keys === undefined ? {} : { keys }) };
    },
  };
}
