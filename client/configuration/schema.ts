import { z } from 'zod';
import { isIPv4 } from 'node:net';
import { SecretName, ServerName } from '../../domain/names.js';
import type { AgentReference, SecretReference } from '../../domain/secret.js';
import {
  describeDuration,
  durationPattern,
  parseDuration,
  parsePercent,
  parseSize,
  percentPattern,
  sizePattern,
} from '../../configuration/quantities.js';

/**
 * `verdigris.yaml`, key by key. Every leaf says what it needs in the words of its complaint, and what
 * it is for in the description that editors show. Rules between keys are in `contradictions.ts`.
 */

type Issue = { readonly input?: unknown };

/** `is 12, needs a port`: the two halves of every complaint. */
const needs = (what: string) => ({ error: ({ input }: Issue) => `${describeValue(input)}, needs ${what}` });

export function describeValue(value: unknown): string {
  if (value === undefined) return 'is missing';
  if (value === null) return 'is empty';
  if (Array.isArray(value)) return value.length === 0 ? 'is an empty list' : 'is a list';
  if (typeof value === 'object') return 'is a map';
  return `is ${JSON.stringify(value)}`;
}

const text = (what: string, pattern: RegExp) => z.string(needs(what)).regex(pattern, needs(what));

const labelPattern = /^[a-z][a-z0-9-]{0,62}$/;
const label = (what: string) =>
  text(`${what}: lower-case letters, digits and dashes, starting with a letter, 63 at most`, labelPattern);

const wholeNumber = (what: string, least: number, most: number) =>
  z.int(needs(what)).min(least, needs(what)).max(most, needs(what));

const port = () => wholeNumber('a port, 1 to 65535', 1, 65_535);
const apiId = (what: string) => wholeNumber(`the number of ${what}`, 1, Number.MAX_SAFE_INTEGER);

const duration = (leastMs = 1) => {
  const what = `a duration such as 500ms, 10s, 2m or 72h${leastMs > 1 ? `, at least ${describeDuration(leastMs)}` : ''}`;
  return text(what, durationPattern)
    .refine((written) => (parseDuration(written) ?? -1) >= leastMs, needs(what))
    .transform((written) => parseDuration(written) ?? 0);
};

const size = () => {
  const what = 'a size above 0 such as 200 MB or 1 GiB';
  return text(what, sizePattern)
    .refine((written) => (parseSize(written) ?? 0) > 0, needs(what))
    .transform((written) => parseSize(written) ?? 0);
};

const percent = () => {
  const what = 'a percentage such as "0.1 %", 100 % at most';
  return text(what, percentPattern)
    .refine((written) => parsePercent(written) !== undefined, needs(what))
    .transform((written) => parsePercent(written) ?? 0);
};

/** Read by people as "1 server" or "10 % of the servers". */
const amount = (least: number) => {
  const what = `a number of servers such as ${least + 1}, ${least} at least, or a percentage such as "10 %"`;
  return z.union(
    [
      z.int().min(least).max(10_000),
      z
        .string()
        .regex(percentPattern)
        .refine((written) => parsePercent(written) !== undefined)
        .transform((written) => ({ share: parsePercent(written) ?? 0 })),
    ],
    needs(what),
  );
};

const host = () => text('a host name or an address', /^[A-Za-z0-9]([A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?$/);

const ipv4 = () => {
  const what = 'an IPv4 address such as 203.0.113.12';
  return z.string(needs(what)).refine(isIPv4, needs(what));
};

const addressNeeds = 'an IPv4 address or CIDR block such as 192.0.2.0/24';
const isAddressOrBlock = (written: string): boolean => {
  const [address = '', bits = '32', ...more] = written.split('/');
  return isIPv4(address) && /^([0-9]|[12][0-9]|3[0-2])$/.test(bits) && more.length === 0;
};

const absolutePath = () =>
  text(
    'an absolute path without "..", blanks or a slash at its end',
    /^(?!.*\/\.{1,2}(\/|$))(\/[A-Za-z0-9._@+-]+)+$/,
  );

const relativePath = () =>
  text(
    'a path relative to the root of the artifact, without ".."',
    /^(?!(.*\/)?\.{1,2}(\/|$))[A-Za-z0-9._@+-]+(\/[A-Za-z0-9._@+-]+)*$/,
  );

const unit = () =>
  text(
    'the name of a systemd unit such as greeter.service',
    /^(?!.*@\.service$)[A-Za-z0-9:_.@-]{1,240}\.service$/,
  );

const urlPath = () => text('a path such as /health', /^\/[\x21-\x7e]*$/);
const headerPattern = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;
const headerName = () => text('the name of a header', headerPattern);

/** Never repeats what was written: it may be the secret itself. */
const secretReference = () => {
  const what =
    '"secret:<name>" in lower-case letters, digits and dashes; what a name resolves to stands in the worker\'s worker.yaml';
  const hushed = {
    error: ({ input }: Issue) =>
      `${typeof input === 'string' ? 'is not the name of a secret' : describeValue(input)}, needs ${what}`,
  };
  return z
    .string(hushed)
    .regex(/^secret:[a-z][a-z0-9-]{0,62}$/, hushed)
    .transform((written): SecretReference => ({ secret: SecretName(written.slice('secret:'.length)) }));
};

/** Never repeats what was written, for the same reason. */
const keyReference = () => {
  const what =
    '"secret:<name>" or "agent:<name>" in lower-case letters, digits and dashes; what a name stands for is in the worker\'s worker.yaml';
  const hushed = {
    error: ({ input }: Issue) =>
      `${typeof input === 'string' ? 'names neither a secret nor an agent' : describeValue(input)}, needs ${what}`,
  };
  return z
    .string(hushed)
    .regex(/^(secret|agent):[a-z][a-z0-9-]{0,62}$/, hushed)
    .transform((written): SecretReference | AgentReference => {
      const [kind, name = ''] = written.split(':');
      return kind === 'agent' ? { agent: SecretName(name) } : { secret: SecretName(name) };
    });
};

/** Never repeats a URL that carries credentials. */
const plainUrl = (what: string, protocols: readonly string[] = ['http:', 'https:']) => {
  const hushed = {
    error: ({ input }: Issue) =>
      `${carriesCredentials(input) ? 'carries credentials' : describeValue(input)}, needs ${what}`,
  };
  return z.string(hushed).refine((written) => isPlainUrl(written, protocols), hushed);
};

const carriesCredentials = (value: unknown): boolean =>
  typeof value === 'string' && /^[a-z]+:\/\/[^/]*@/i.test(value);

function isPlainUrl(written: string, protocols: readonly string[]): boolean {
  if (carriesCredentials(written) || !URL.canParse(written)) return false;
  const url = new URL(written);
  return protocols.includes(url.protocol) && url.search === '' && url.hash === '';
}

const map = <Shape extends z.ZodRawShape>(shape: Shape) => z.strictObject(shape, needs('a map'));

const Probe = map({
  address: ipv4()
    .optional()
    .describe('Where the program answers probes, seen from the machine itself. Default: 127.0.0.1'),
  port: port().optional().describe("Default: the server's port"),
});

const privilege = () =>
  z
    .enum(['installed', 'sudo', 'none'], needs('installed, sudo or none'))
    .describe(
      'How the helper gets its rights on a server: installed (by verdigris server setup, bound by a policy), sudo (any command: as good as root) or none (as the login user)',
    );

const loginPattern = /^[a-z_][a-z0-9_-]{0,31}$/;

/** The type of the key may stand in front, as in known_hosts: it saves the search for it. */
const fingerprintPattern =
  /^((ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) )?SHA256:[A-Za-z0-9+/]{43}$/;

const hostKey = () => {
  const what =
    "the fingerprint of the machine's host key, SHA256: and 43 characters (ssh-keyscan HOST | ssh-keygen -lf -), or a list of them";
  const fingerprint = text(what, fingerprintPattern);
  return z.union([fingerprint, z.array(fingerprint).min(1)], needs(what));
};

const Login = map({
  user: text('a login name', loginPattern).optional().describe('Login user'),
  key: keyReference()
    .optional()
    .describe('The private key: secret:<name>, or agent:<name> for one that an SSH agent holds'),
  passphrase: secretReference().optional().describe('Name of what opens the private key beside it'),
  certificate: secretReference()
    .optional()
    .describe('Name of the OpenSSH user certificate (-cert.pub) for the key beside it'),
  port: port().optional().describe('Default: 22'),
});

const Bastion = Login.extend({
  host: host().describe('What SSH reaches'),
  hostKey: hostKey()
    .optional()
    .describe("Fingerprint of the bastion's SSH host key. Default: from knownHosts"),
});

const Ssh = Login.extend({
  privilege: privilege().optional(),
  bastions: z
    .array(Bastion, needs('a list of machines'))
    .max(5, needs('5 machines at most'))
    .optional()
    .describe('Machines to go through, in the order in which they are reached'),
  connectTimeout: duration(100)
    .optional()
    .describe('How long a machine may take to answer at all. Default: 10s'),
  loginTimeout: duration(100).optional().describe('How long handshake and login may take then. Default: 30s'),
  keepAlive: duration(100)
    .optional()
    .describe('A connection that says nothing for three times this long is given up. Default: 10s'),
  idleTimeout: duration(100)
    .optional()
    .describe('A connection that nobody uses is closed after this long. Default: 30s'),
});

/** systemd's own words: resources that a unit may use, and nothing that says what it runs, or as whom. */
const limitNames = [
  'MemoryMin MemoryLow MemoryHigh MemoryMax MemorySwapMax CPUWeight CPUQuota AllowedCPUs IOWeight TasksMax Nice',
  'IOSchedulingClass IOSchedulingPriority OOMScoreAdjust OOMPolicy LimitAS LimitCORE LimitCPU LimitDATA LimitFSIZE',
  'LimitLOCKS LimitMEMLOCK LimitMSGQUEUE LimitNICE LimitNOFILE LimitNPROC LimitRSS LimitRTPRIO LimitRTTIME',
  'LimitSIGPENDING LimitSTACK',
].flatMap((line) => line.split(' '));

const limit = () =>
  z
    .union(
      [text('a value', /^[A-Za-z0-9%][A-Za-z0-9%.:,-]{0,63}$/), z.int(), text('a value', /^-\d{1,4}$/)],
      needs('a value as systemd writes it, such as 512M, 50% or 65536'),
    )
    .transform(String);

const Limits = z.partialRecord(z.enum(limitNames), limit(), needs('a map of limits'));

/** Never repeats what was written: it may be a secret that should not stand there. */
const value = () => {
  const hushed = {
    error: ({ input }: Issue) =>
      `${typeof input === 'string' ? 'is no text that can be filled in' : describeValue(input)}, needs text, a whole number, true, false or "secret:<name>"; other numbers in quotes`,
  };
  const words = z
    .string(hushed)
    .regex(/^(?!secret:)[^\0]*$/, hushed)
    .max(16_384, hushed);
  return z
    .union([secretReference(), words, z.int(hushed), z.boolean(hushed)], hushed)
    .transform((written) => (typeof written === 'object' ? written : String(written)));
};

const Values = z.record(
  z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{0,62}$/, {
    error: 'cannot name a value, needs letters, digits, "_" and "-", a letter first, 63 at most',
  }),
  value(),
  needs('a map of names to values'),
);

const layer = () => ({
  values: Values.optional().describe('What {{name}} stands for in templates: text, numbers, secret:<name>'),
  limits: Limits.optional().describe('Settings of the unit, section [Service], such as MemoryMax: 512M'),
});

const ProgramConfiguration = map({
  files: z
    .array(relativePath(), needs('a list of paths in the artifact'))
    .prefault([])
    .describe("The program's configuration files, paths in the artifact; each is a template"),
  shared: z
    .array(
      text('a name without slashes', /^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$/),
      needs('a list of names of directories'),
    )
    .prefault([])
    .describe("Directories below shared/ that outlive releases, owned by the program's user"),
  ...layer(),
  blue: map(layer()).optional().describe('What differs on the servers of blue'),
  green: map(layer()).optional().describe('What differs on the servers of green'),
  fingerprintKey: secretReference()
    .optional()
    .describe("Keys the fingerprints of secrets in release ids. Default: the first server's SSH key"),
});

const productName = (what: string) => text(what, /^[a-z0-9]([a-z0-9.-]{0,126}[a-z0-9])?$/i);
const productNeeds = 'one of dedicatedServer, vps or instance';

/** Exactly one of them: a machine is one product. */
const OvhMachine = map({
  dedicatedServer: productName('the name of a dedicated server such as ns3012345.ip-192-0-2.eu').optional(),
  vps: productName('the name of a VPS such as vps-0a1b2c3d.vps.ovh.net').optional(),
  instance: map({
    project: text('the id of a Public Cloud project, 32 hexadecimal digits', /^[0-9a-f]{32}$/),
    id: text('the id of an instance, a UUID', /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
  }).optional(),
}).refine((named) => Object.values(named).filter((value) => value !== undefined).length === 1, {
  error: ({ input }: Issue) => {
    const named = Object.keys(input as object);
    return `${named.length === 0 ? 'names no product' : `names ${named.join(' and ')}`}, needs ${productNeeds}`;
  },
});

export const ServerEntry = map({
  name: label('a name')
    .transform((name) => ServerName(name))
    .describe('Unique within the service'),
  address: ipv4().describe('IPv4 address by which the load balancer reaches the server'),
  port: port()
    .optional()
    .describe('Port by which the load balancer reaches the server. Default: program.port'),
  hostKey: hostKey()
    .optional()
    .describe(
      "Fingerprints of the machine's SSH host keys; no other is accepted. Default: from ssh.knownHosts",
    ),
  unit: unit().optional().describe('Default: program.unit'),
  directory: absolutePath().optional().describe('Default: program.directory'),
  probe: Probe.optional(),
  ...layer(),
  ssh: Ssh.extend({ host: host().optional().describe("What SSH reaches. Default: the server's address") })
    .optional()
    .describe('What differs from ssh at the top'),
  ovh: OvhMachine.optional().describe(
    'What the machine is to OVHcloud: its own view of it is then told in check, plan and evidence',
  ),
});

const environment = (color: string) =>
  z
    .array(ServerEntry, needs('a list of servers'))
    .min(1, needs('at least one server'))
    .describe(`The servers of ${color}, able to carry the whole service`);

const Environments = map({ blue: environment('blue'), green: environment('green') });

const endpointNeeds = 'ovh-eu, ovh-ca, ovh-us or an https URL without credentials, query or fragment';

const OvhApi = map({
  endpoint: z
    .union(
      [z.enum(['ovh-eu', 'ovh-ca', 'ovh-us']), plainUrl(endpointNeeds, ['https:'])],
      needs(endpointNeeds),
    )
    .prefault('ovh-eu'),
  applicationKey: secretReference().optional().describe('Default: secret:ovh-application-key'),
  applicationSecret: secretReference().optional().describe('Default: secret:ovh-application-secret'),
  consumerKey: secretReference().optional().describe('Default: secret:ovh-consumer-key'),
  clientId: secretReference()
    .optional()
    .describe('Of a service account (OAuth2), which then stands instead of the three keys'),
  clientSecret: secretReference().optional().describe("The service account's secret"),
  tokenUrl: plainUrl('an https URL without credentials, query or fragment', ['https:'])
    .optional()
    .describe('Where the service account gets its tokens. Default: as the endpoint has it'),
});

const Entry = {
  protocol: z
    .enum(['http', 'tcp'], needs('http or tcp'))
    .prefault('http')
    .describe('Kind of the frontends and farms'),
  frontends: z
    .array(apiId('a frontend'), needs('a list of frontend numbers'))
    .min(1, needs('at least one frontend'))
    .describe('Moved together, in one refresh'),
  stagingFrontend: apiId('a frontend').describe(
    'References the idle farm, so that the load balancer probes it',
  ),
  farms: map({ blue: apiId('a farm'), green: apiId('a farm') }),
  mixed: map({
    farm: apiId('a farm'),
    stagingFrontend: apiId('a frontend').describe('References it while no other frontend does'),
  })
    .optional()
    .describe('A farm with the servers of both environments, by whose weights traffic can be divided'),
};

const further = 'a port, 1 to 65535, or a map with one for blue and one for green';

const FurtherEntry = map({
  ...Entry,
  port: z
    .union([port(), map({ blue: port(), green: port() })], needs(further))
    .optional()
    .describe("Where the servers listen for these frontends. Default: the server's port"),
});

const named = (what: string) =>
  map({
    name: text(`the name of a ${what}`, headerPattern),
    value: text('printable ASCII, 255 characters at most', /^[\x21-\x7e]{1,255}$/),
  }).optional();

const Testers = map({
  route: apiId('a route').describe('On one of the frontends, with one rule: what tells testers'),
  header: named('header').describe('Who sends this header'),
  cookie: named('cookie').describe('Who has this cookie'),
  source: z
    .string(needs(addressNeeds))
    .refine(isAddressOrBlock, needs(addressNeeds))
    .optional()
    .describe('Who comes from this address or CIDR block'),
});

const OvhIplb = map({
  driver: z.literal('ovh-iplb'),
  serviceName: text(
    'the service name of an OVHcloud Load Balancer, loadbalancer-... or ip-...',
    /^(loadbalancer-[0-9a-f-]{1,64}|ip-[0-9.]{7,15})$/,
  ).describe('As the control panel shows it'),
  ...Entry,
  also: z
    .array(FurtherEntry, needs('a list of maps with protocol, frontends, stagingFrontend and farms'))
    .prefault([])
    .describe('What the world comes in by beside that, moved in the same refresh'),
  fallback: z
    .enum(['none', 'old-environment'], needs('none or old-environment'))
    .prefault('none')
    .describe('Who gets all traffic when every new server is down during the bake'),
  testers: Testers.optional().describe('Who reaches the new environment before it gets the traffic'),
  refreshDeadline: duration(1_000).prefault('10m').describe('How long a published change may take'),
  api: OvhApi.prefault({}).describe('How the OVHcloud API is reached'),
});

const uuid = (what: string) =>
  text(`the id of ${what}, a UUID`, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);

const OvhPublicCloud = map({
  driver: z.literal('ovh-public-cloud'),
  project: text('the id of a Public Cloud project, 32 hexadecimal digits', /^[0-9a-f]{32}$/),
  region: text('a region such as GRA11', /^[A-Z0-9][A-Z0-9-]{1,31}$/),
  id: uuid('a load balancer'),
  listeners: z
    .array(uuid('a listener'), needs('a list of listener ids'))
    .min(1, needs('at least one listener'))
    .describe('Moved one after the other in this order, there and back'),
  stagingListener: uuid('a listener')
    .optional()
    .describe('References the idle pool, so that the load balancer probes it'),
  pools: map({ blue: uuid('a pool'), green: uuid('a pool') }),
  mixed: map({
    pools: z
      .array(uuid('a pool'), needs('a list of pool ids'))
      .min(1, needs('at least one pool'))
      .describe('Each holds every server of both environments'),
    weights: z
      .enum(['keep', 'set'], needs('keep or set'))
      .prefault('keep')
      .describe(
        'keep: each pool has the share that its weights make; set: weights are set to the share wanted',
      ),
  })
    .optional()
    .describe('For traffic that is divided'),
  weights: z
    .record(
      z.string().regex(labelPattern, { error: 'is not the name of a server, needs one' }),
      wholeNumber('a weight, 1 to 256', 1, 256),
      needs('a map of server names to weights'),
    )
    .prefault({})
    .describe('What servers weigh that weigh something else than the others of their pool'),
  updateDeadline: duration(1_000)
    .prefault('5m')
    .describe('How long the load balancer may be locked by a change'),
  statusDelay: duration(0).prefault('10s').describe('How long after a check the API tells what it found'),
  api: OvhApi.prefault({}).describe('How the OVHcloud API is reached'),
});

const driverNeeds = 'ovh-iplb or ovh-public-cloud';

/** Says of a driver that is none what is the case with it, and not with the map that it stands in. */
const LoadBalancer = z.discriminatedUnion('driver', [OvhIplb, OvhPublicCloud], {
  error: ({ input }: Issue) =>
    typeof input === 'object' && input !== null && !Array.isArray(input)
      ? `${describeValue((input as Record<string, unknown>)['driver'])}, needs ${driverNeeds}`
      : `${describeValue(input)}, needs a map`,
});

const Program = map({
  unit: unit().optional().describe('Default: <service>.service'),
  directory: absolutePath()
    .optional()
    .describe('Holds releases/, current and shared/ on the servers. Default: /opt/<service>'),
  port: port().optional().describe('Port of the program on every server that says no other'),
  user: text('a login name', loginPattern)
    .optional()
    .describe('Who the program runs as where the helper is installed. Default: <service>'),
  executable: relativePath().optional().describe('Path in the artifact. Default: bin/<service>'),
  unitFile: relativePath()
    .optional()
    .describe('Template of the unit, path in the artifact. Default: lib/systemd/system/<unit>'),
});

const PublicAddress = map({
  url: plainUrl('a URL such as http://203.0.113.10 without credentials, query or fragment').describe(
    'Where the world reaches the service',
  ),
  identify: map({
    path: urlPath().prefault('/'),
    header: headerName().describe('Response header that tells which release answered'),
  }).describe('How blue and green are told apart from outside'),
});

const Region = map({
  name: label('a name').describe('What people call it: its objects are told with it'),
  loadBalancer: LoadBalancer,
  publicAddress: PublicAddress,
  servers: z
    .array(
      label('the name of a server').transform((name) => ServerName(name)),
      needs('a list of names of servers'),
    )
    .optional()
    .describe('Those that its load balancer sends traffic to. Default: all'),
});

const Artifact = map({
  headers: z
    .record(
      z.string().regex(headerPattern, { error: 'is not the name of a header, needs one' }),
      secretReference(),
      needs('a map of header names to secrets'),
    )
    .prefault({})
    .describe("Sent to the artifact URL's own host only"),
  maxSize: size().prefault('500 MB'),
  timeout: duration(1_000).prefault('5m'),
});

const Health = map({
  path: urlPath().prefault('/health'),
  status: wholeNumber('an HTTP status, 100 to 599', 100, 599).prefault(200),
  timeout: duration().prefault('2s'),
});

const Verify = map({
  passes: wholeNumber('a whole number, 1 to 1000', 1, 1_000).prefault(5).describe('Good answers in a row'),
  every: duration(10).prefault('1s'),
  minimum: duration(0).prefault('10s').describe('A program must run this long without a restart'),
  deadline: duration(100)
    .prefault('2m')
    .describe('When a server that has not proved itself counts as failed'),
  loadBalancerDeadline: duration(100)
    .prefault('5m')
    .describe('How long the load balancer may take to see the servers up'),
});

const Fleet = map({
  mayFail: amount(0)
    .prefault(0)
    .describe(
      'Servers of an environment that may be left behind, a number or a percentage: unreachable, timed out and failed count alike',
    ),
  minCapacity: amount(1)
    .prefault(1)
    .describe(
      'Servers of an environment that have to be left to carry the service, a number or a percentage',
    ),
  serverDeadline: duration(1_000)
    .prefault('10m')
    .describe('What one server may take for one step, beside the waiting that was asked for'),
  progressDeadline: duration(1_000)
    .prefault('10m')
    .describe('How long no server at all may get anywhere; begins anew with every server that does'),
});

const Approve = map({
  timeout: duration(100).prefault('72h').describe('After this long without an answer, onTimeout happens'),
  onTimeout: z.enum(['reject', 'keep waiting'], needs('reject or keep waiting')).prefault('reject'),
  watchEvery: duration(100).prefault('30s').describe('How often the load balancer is looked at meanwhile'),
});

const Prober = map({
  path: urlPath().prefault('/'),
  requestsPerSecond: wholeNumber('a whole number, 1 to 1000', 1, 1_000).prefault(20),
  timeout: duration(10).prefault('5s'),
});

const Bake = map({
  duration: duration(100).prefault('10m'),
  maxErrorRate: percent()
    .prefault('0.1 %')
    .describe('Share of failed requests above which the new environment is ill'),
  maxLatencyRatio: z
    .number(needs('a number, 1 at least'))
    .min(1, needs('a number, 1 at least'))
    .prefault(2)
    .describe('The 99th percentile may be this many times what it was before the switch'),
  latencyFloor: duration(0)
    .prefault('50ms')
    .describe('Latency below this is never held against the new environment'),
  minRequests: wholeNumber('a whole number above 0', 1, 100_000_000)
    .prefault(200)
    .describe('No verdict on fewer requests than these'),
  watchEvery: duration(100).prefault('5s').describe('How often servers and load balancer are looked at'),
});

const Retire = map({
  old: z
    .enum(['keep running', 'stop'], needs('keep running or stop'))
    .prefault('keep running')
    .describe('keep running: the old environment stays the warm way back'),
});

const Install = map({
  keepFree: size()
    .prefault('100 MB')
    .describe("What has to stay free on a server's disk when a release has been unpacked there"),
});

const Drain = map({
  atLeast: duration(0)
    .prefault('0s')
    .describe('An environment that has lost its traffic is left running at least this long'),
  atMost: duration(0).prefault('30s').describe('Lingering connections are waited for at most this long'),
  // oxlint-disable-next-line no-thenable -- a word of the configuration; nobody awaits a schema
  then: z
    .enum(['cut', 'refuse', 'ask'], needs('cut, refuse or ask'))
    .prefault('refuse')
    .describe(
      'What happens to those that remain: cut and counted; refuse (nothing is stopped; cut all the same on the way back); ask a person',
    ),
});

const machineVerdict = () => z.enum(['warn', 'refuse'], needs('warn or refuse')).prefault('warn');

const Machines = map({
  unhealthy: machineVerdict().describe(
    'A machine that OVHcloud finds ill, repairs meanwhile or takes back soon: warn, or refuse to deploy',
  ),
  unequal: machineVerdict().describe('Blue and green of unequal size: warn, or refuse to deploy'),
});

export const Configuration = map({
  service: label('a name').describe('Name of the service'),
  program: Program.prefault({}).describe('How the program is found in its artifact and run on a server'),
  configuration: ProgramConfiguration.prefault({}).describe(
    'What differs between places: filled into templates of the artifact, and into the unit',
  ),
  ssh: Ssh.extend({
    knownHosts: text('the path of a known_hosts file, relative to this file', /^[^\0]+$/)
      .optional()
      .describe('A known_hosts file, relative to this file: pins the host keys of those without hostKey'),
  })
    .prefault({})
    .describe('Defaults of every server'),
  environments: Environments.describe('The two sets of servers'),
  loadBalancer: LoadBalancer.optional().describe('What sends traffic to the servers. Needed without regions'),
  publicAddress: PublicAddress.optional(),
  regions: z
    .array(Region, needs('a list of maps with name, loadBalancer and publicAddress'))
    .min(2, needs('two regions at least; a single load balancer stands at the top'))
    .optional()
    .describe(
      'Several load balancers, moved one after the other: instead of loadBalancer and publicAddress at the top',
    ),
  artifact: Artifact.prefault({}).describe('How the tar.gz that CI built is fetched'),
  health: Health.prefault({}).describe('One question put to a server, and what counts as a good answer'),
  verify: Verify.prefault({}).describe('What a server must prove before it gets traffic'),
  fleet: Fleet.prefault({}).describe('What a deployment bears of the servers that it goes to'),
  approve: Approve.prefault({}).describe('How long people are waited for'),
  prober: Prober.prefault({}).describe('What is asked at the public address, all through the deployment'),
  bake: Bake.prefault({}).describe('Watching the new environment under all the traffic'),
  retire: Retire.prefault({}).describe('What becomes of the old environment'),
  machines: Machines.prefault({}).describe("OVHcloud's view of the machines whose product is named"),
  drain: Drain.prefault({}).describe('Waiting until nothing lingers on what is stopped'),
  install: Install.prefault({}).describe('Putting a release beside what runs'),
  keepReleases: wholeNumber('a whole number, 0 to 100', 0, 100)
    .prefault(5)
    .describe('Releases kept on a server beside the active and the previous one'),
});

export type Configuration = z.output<typeof Configuration>;
export type LoadBalancerSection = z.output<typeof LoadBalancer>;
export type RegionSection = z.output<typeof Region>;
export type ServerEntry = z.output<typeof ServerEntry>;
export type SshLogin = z.output<typeof Login>;
