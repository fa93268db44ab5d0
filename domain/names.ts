/**
 * Strings with rules. Each has one maker, whose error says the rule. Brands vanish in JSON, so they are
 * made where data enters (the command line, the worker's configuration) and trusted inside.
 */
declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

/** `name@destination`, for example `greeter@production`. */
export type ServiceId = Branded<'ServiceId'>;
/** Lower-case SHA-256, 64 hexadecimal digits. */
export type Digest = Branded<'Digest'>;
/** Twelve digits of the artifact's digest, a dash, eight of its settings' digest. */
export type ReleaseId = Branded<'ReleaseId'>;
/** The name of one server, unique within its service, for example `blue-1`. */
export type ServerName = Branded<'ServerName'>;
/** What `secret:<name>` refers to; only a worker knows what it resolves to. */
export type SecretName = Branded<'SecretName'>;
/** The run of the workflow that carries a deployment. */
export type DeploymentId = Branded<'DeploymentId'>;

const label = /^[a-z][a-z0-9-]{0,62}$/;

function maker<Name extends string>(what: string, pattern: RegExp, needs: string) {
  return (value: string): Branded<Name> => {
    if (!pattern.test(value)) throw new TypeError(`Cannot use "${value}" as ${what}: needs ${needs}`);
    return value as Branded<Name>;
  };
}

const labelRule = 'lower-case letters, digits and dashes, starting with a letter, 63 at most';

export const Digest = maker<'Digest'>(
  'a digest',
  /^[0-9a-f]{64}$/,
  '64 lower-case hexadecimal digits (SHA-256)',
);
export const ReleaseId = maker<'ReleaseId'>(
  'a release id',
  /^[0-9a-f]{12}-[0-9a-f]{8}$/,
  '12 and 8 hexadecimal digits with a dash between',
);
export const ServerName = maker<'ServerName'>('a server name', label, labelRule);
export const SecretName = maker<'SecretName'>('a secret name', label, labelRule);
export const DeploymentId = maker<'DeploymentId'>(
  'a deployment id',
  /^[0-9a-f-]{8,36}$/,
  'the run id of its workflow',
);

export function ServiceId(name: string, destination: string): ServiceId {
  for (const part of [name, destination]) {
    if (!label.test(part)) throw new TypeError(`Cannot use "${part}" in a service id: needs ${labelRule}`);
  }
  return `${name}@${destination}` as ServiceId;
}

/** The workflow of a service. The open one is the lock: there is never more than one. */
export const workflowIdOf = (service: ServiceId): string => `verdigris/${service}`;

/**
 * What people call a run: the last eight digits of its id. The first ones are a clock, the same for all runs of a minute
 * (version 7 of RFC 9562).
 */
export const shortId = (runId: string): string => runId.slice(-8);

/** Whether a person means this run: by its whole id, or by enough of its end. */
export const isMeant = (runId: string, meant: string): boolean => meant.length >= 8 && runId.endsWith(meant);
