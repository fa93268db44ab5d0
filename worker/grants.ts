import { isIP } from 'node:net';
import { z } from 'zod';
import type { ServiceId } from '../domain/names.js';

const servicePattern = /^(\*|[a-z0-9*-]+@[a-z0-9*-]+)$/;
const hostPattern = /^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?$/i;

export const namePattern = /^[a-z][a-z0-9-]{0,62}$/;
export const nameNeeds = 'needs lower-case letters, digits and dashes, starting with a letter';

/** What is said of anything but a map; a key too many has words of its own. */
export const mapNeeds =
  (content: string) =>
  ({ code }: { readonly code: string }): string | undefined =>
    code === 'invalid_type' ? `needs a map: ${content}` : undefined;

/** To whom something of the worker is given: nobody, and for no host, unless listed. */
export const grantedTo = {
  /** Services that may have it: `greeter@production`, `greeter@*`, `*`. */
  services: z.array(
    z.string().regex(servicePattern, 'needs a service such as "greeter@production", "greeter@*" or "*"'),
    { error: 'needs the list of services that may have it' },
  ),
  /** Hosts that it may be given to: `gitlab.example.com`, `*.example.com`, `203.0.113.7`. */
  hosts: z.array(
    z
      .string()
      .refine(
        (host) => hostPattern.test(host) || isIP(host) !== 0,
        'needs a host such as "gitlab.example.com", "*.example.com" or "203.0.113.7", without scheme and port',
      ),
    { error: 'needs the list of hosts that it may be given to' },
  ),
} as const;

export interface Grant {
  readonly services: readonly string[];
  readonly hosts: readonly string[];
}

export interface Use {
  readonly service: ServiceId;
  readonly host: string;
}

/** Why it is not for this service or this host; `undefined` where it is. `key` is where `sourcePath` says so. */
export function refusedBy(
  { services, hosts }: Grant,
  { service, host }: Use,
  key: string,
  sourcePath: string,
): string | undefined {
  if (!services.some((pattern) => matchesService(pattern, service))) {
    return `${sourcePath} does not give it to this service, needs ${key}.services to list it`;
  }
  if (!hosts.some((pattern) => matchesHost(pattern, host))) {
    return `${sourcePath} does not give it to this host, needs ${key}.hosts to list it`;
  }
  return undefined;
}

function matchesService(pattern: string, service: ServiceId): boolean {
  if (pattern === '*') return true;
  const expression = pattern.split('*').map(escaped).join('[^@]*');
  return new RegExp(`^${expression}$`).test(service);
}

const escaped = (literal: string): string => literal.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** `*.example.com` is any name below example.com, and not example.com itself; addresses are compared whole. */
function matchesHost(pattern: string, host: string): boolean {
  const asked = plainHost(host);
  const allowed = plainHost(pattern);
  if (!allowed.startsWith('*.')) return asked === allowed;
  return isIP(asked) === 0 && asked.endsWith(allowed.slice(1)) && asked.length > allowed.length - 1;
}

const plainHost = (host: string): string =>
  host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '');
