import pMap from 'p-map';
import { z } from 'zod';
import { colors, otherColor, type Color } from '../../../domain/color.js';
import type {
  MixedFarmSettings,
  OvhIplbSettings,
  Service,
  TestersSettings,
} from '../../../domain/service.js';
import type { OvhApi } from '../../../ovh/api.js';
import { OvhError } from '../../../ovh/error.js';
import { backupHindrances } from './backups.js';
import { ConfigurationReader, rootOf, type Configuration } from './configuration.js';
import { Entry } from './entry.js';
import { markOf } from './routes.js';
import { readAs } from '../ovh-document.js';

const Names = z.array(z.string());
const LoadBalancer = z.looseObject({
  displayName: z.string().nullish(),
  state: z.string(),
  zone: z.array(z.string()),
  ipLoadbalancing: z.string().nullish(),
});

/** One load balancer of the account, with all that is stored on it. */
export interface Discovered {
  readonly serviceName: string;
  readonly displayName: string | undefined;
  readonly state: string | undefined;
  readonly zones: readonly string[];
  readonly address: string | undefined;
  readonly configuration: Configuration;
}

/** Reads every load balancer that the credential may see, or the one that is named. Changes nothing. */
export async function discover(api: OvhApi, only?: string): Promise<readonly Discovered[]> {
  const names = only === undefined ? await readAs(api, '/ipLoadbalancing', Names) : [only];
  return pMap(names, (name) => discovered(api, name), { concurrency: 2 });
}

async function discovered(api: OvhApi, serviceName: string): Promise<Discovered> {
  const root = rootOf({ serviceName });
  const itself = await itselfIfAllowed(api, root);
  return {
    serviceName,
    displayName: itself?.displayName ?? undefined,
    state: itself?.state,
    zones: itself?.zone ?? (await readAs(api, `${root}/zone`, Names)),
    address: itself?.ipLoadbalancing ?? undefined,
    configuration: await new ConfigurationReader(api, { serviceName }).everything(),
  };
}

/** A credential that may look at all load balancers need not be allowed this document: the rule for it is too wide. */
async function itselfIfAllowed(api: OvhApi, root: string): Promise<z.infer<typeof LoadBalancer> | undefined> {
  try {
    return await readAs(api, root, LoadBalancer);
  } catch (error) {
    if (error instanceof OvhError && error.status === 403) return undefined;
    throw error;
  }
}

/** What a service would say of its load balancer. What could not be told for certain is left out, and why is said. */
export interface Proposal extends EntryProposal {
  readonly serviceName: string;
  /** Further ways in that are whole. */
  readonly also?: readonly WholeEntry[];
  /** A route that could let testers in. */
  readonly testers?: TestersSettings;
  /** Where the servers of each environment are backups in every farm of the other one. */
  readonly fallback?: NonNullable<OvhIplbSettings['fallback']>;
  readonly open: readonly string[];
}

interface EntryProposal {
  readonly protocol: 'http' | 'tcp';
  readonly frontends?: readonly number[];
  readonly stagingFrontend?: number;
  readonly farms?: Readonly<Record<Color, number>>;
  readonly mixed?: MixedFarmSettings;
}

type WholeEntry = Required<Omit<EntryProposal, 'mixed'>> & Pick<EntryProposal, 'mixed'>;

/**
 * Which of the objects are blue's, green's, the world's and for probes. Told by the servers in them where a service is given,
 * else by the colours in their names. Pure.
 */
export function proposalFor(found: Discovered, service?: Pick<Service, 'environments'>): Proposal {
  const proposals = (['http', 'tcp'] as const).map((protocol) =>
    new Guess(found, protocol, service).proposal(),
  );
  const [http, tcp] = proposals;
  const whole = proposals.find(isWhole);
  const some = proposals.find(({ farms }) => farms) ?? proposals.find(({ frontends }) => frontends);
  const best = whole ?? some ?? http ?? tcp;
  if (!best) throw new TypeError('Cannot propose anything: no protocol was looked at, needs one');
  const also = proposals.filter((one) => one !== best).filter(isWhole);
  const isDivisible = [best, ...also].every(({ mixed }) => mixed);
  return {
    ...(isDivisible ? best : withoutMixed(best)),
    ...(also.length === 0 ? {} : { also: also.map((entry) => entryOf(entry, isDivisible)) }),
    ...(isWhole(best) ? equipmentOf(best, also, found.configuration, service) : {}),
  };
}

/** What the load balancer has beside farms and frontends that a service could use. */
function equipmentOf(
  best: Proposal & WholeEntry,
  also: readonly WholeEntry[],
  configuration: Configuration,
  service: Pick<Service, 'environments'> | undefined,
): Pick<Proposal, 'testers' | 'fallback'> {
  const first = new Entry(best, false);
  const entries = [first, ...also.map((entry) => new Entry(entry, true))];
  const servers = service ? colors.flatMap((color) => service.environments[color]) : [];
  const standBy = entries.every((entry) => backupHindrances(entry, configuration, servers).length === 0);
  const [testers, ...others] = testersIn(first, configuration);
  return {
    ...(testers && others.length === 0 ? { testers } : {}),
    ...(servers.length > 0 && standBy ? { fallback: 'old-environment' } : {}),
  };
}

/** Routes of an entry's frontends that lead to a farm of it, each with what it tells visitors by. */
const testersIn = (entry: Entry, { routes }: Configuration): readonly TestersSettings[] =>
  [...routes].flatMap(([name, route]) => {
    const { type, target } = route.action;
    const isOurs =
      entry.frontends.includes(`${entry.protocol}/frontend/${route.frontendId}`) &&
      name.startsWith(`${entry.protocol}/route/`);
    const by = markOf(route);
    return isOurs && by && type === 'farm' && entry.roleOf(Number(target)) !== undefined
      ? [{ route: Number(name.split('/')[2]), by }]
      : [];
  });

const isWhole = (proposal: Proposal): proposal is Proposal & WholeEntry =>
  proposal.farms !== undefined && proposal.stagingFrontend !== undefined && proposal.frontends !== undefined;

/** Traffic is divided alike everywhere, or nowhere. */
const withoutMixed = ({ mixed: _mixed, ...rest }: Proposal): Proposal => rest;

const entryOf = (
  { protocol, frontends, stagingFrontend, farms, mixed }: WholeEntry,
  isDivisible: boolean,
): WholeEntry => ({
  protocol,
  frontends,
  stagingFrontend,
  farms,
  ...(isDivisible && mixed ? { mixed } : {}),
});

class Guess {
  readonly #found: Discovered;
  readonly #protocol: 'http' | 'tcp';
  readonly #service: Pick<Service, 'environments'> | undefined;

  constructor(
    found: Discovered,
    protocol: 'http' | 'tcp',
    service: Pick<Service, 'environments'> | undefined,
  ) {
    this.#found = found;
    this.#protocol = protocol;
    this.#service = service;
  }

  proposal(): Proposal {
    const base = { serviceName: this.#found.serviceName, protocol: this.#protocol };
    const candidates = { blue: this.#farmsOf('blue'), green: this.#farmsOf('green') };
    const [blue, green] = [candidates.blue[0], candidates.green[0]];
    const open = colors.flatMap((color) => openFarm(color, candidates[color]));
    if (blue === undefined || green === undefined || open.length > 0) {
      const frontends = this.#frontends().map(({ id }) => id);
      return { ...base, ...(frontends.length === 0 ? {} : { frontends }), open: [...open, ...without] };
    }
    const farms = { blue, green };
    const { live, staging } = this.#divided(farms);
    const mixed = this.#mixed();
    return {
      ...base,
      farms,
      ...(mixed ? { mixed } : {}),
      ...(live.length === 0 ? {} : { frontends: live }),
      ...(staging === undefined ? {} : { stagingFrontend: staging }),
      open: [
        ...(live.length === 0 ? ['frontends: none points at either farm'] : []),
        ...(staging === undefined ? ['stagingFrontend: none references the idle farm', ...without] : []),
      ],
    };
  }

  #farmsOf(color: Color): readonly number[] {
    const farms = [...this.#found.configuration.farms].filter(([name]) =>
      name.startsWith(`${this.#protocol}/farm/`),
    );
    const byServers = farms.filter(
      ([name]) => this.#holds(name, color) && !this.#holds(name, otherColor(color)),
    );
    const byName = farms.filter(([, { displayName }]) => {
      const words = wordsOf(displayName).toLowerCase();
      return words.includes(color) && !words.includes(otherColor(color));
    });
    return (byServers.length > 0 ? byServers : byName).map(([name]) => Number(name.split('/')[2]));
  }

  /** A farm that has servers of both, none of them a backup, and what has it probed. */
  #mixed(): MixedFarmSettings | undefined {
    const { farms } = this.#found.configuration;
    const [farm, ...others] = [...farms.keys()]
      .filter((name) => name.startsWith(`${this.#protocol}/farm/`))
      .filter((name) => colors.every((color) => this.#holds(name, color)))
      .map((name) => Number(name.split('/')[2]));
    const staging = this.#frontends().find((frontend) => farm !== undefined && frontend.farm === farm);
    return farm === undefined || staging === undefined || others.length > 0
      ? undefined
      : { farm, stagingFrontend: staging.id };
  }

  #holds(farm: string, color: Color): boolean {
    const servers = [...this.#found.configuration.servers].filter(
      ([name, server]) => name.startsWith(`${farm}/server/`) && server['backup'] !== true,
    );
    const farmPort = this.#found.configuration.farms.get(farm)?.port;
    const wanted = this.#service?.environments[color] ?? [];
    return (
      wanted.length > 0 &&
      wanted.every(({ address, port }) =>
        servers.some(([, server]) => server.address === address && (server.port ?? farmPort) === port),
      )
    );
  }

  #frontends(): readonly {
    readonly id: number;
    readonly port: number;
    readonly farm: number | undefined;
    readonly name: string;
  }[] {
    return [...this.#found.configuration.frontends]
      .filter(([name]) => name.startsWith(`${this.#protocol}/frontend/`))
      .map(([name, { defaultFarmId, port, displayName }]) => ({
        id: Number(name.split('/')[2]),
        port: Number.parseInt(String(port), 10),
        farm: defaultFarmId ?? undefined,
        name: wordsOf(displayName),
      }))
      .toSorted((a, b) => a.port - b.port);
  }

  /** The world comes in by the usual ports, which are the low ones; who says to be for staging is not the world's. */
  #divided({ blue, green }: Readonly<Record<Color, number>>): {
    readonly live: readonly number[];
    readonly staging: number | undefined;
  } {
    const ours = this.#frontends().filter(({ farm }) => farm === blue || farm === green);
    const isNamed = ({ name }: { readonly name: string }): boolean => /staging|idle|probe/i.test(name);
    const first = ours.find((frontend) => !isNamed(frontend));
    const live = ours.filter((frontend) => !isNamed(frontend) && frontend.farm === first?.farm);
    const staging = ours.find(isNamed) ?? ours.find(({ farm }) => first !== undefined && farm !== first.farm);
    return { live: live.map(({ id }) => id), staging: staging?.id };
  }
}

const wordsOf = (displayName: unknown): string => (typeof displayName === 'string' ? displayName : '');

const without = ['what is missing can be created: verdigris ovh provision --plan'];

const openFarm = (color: Color, candidates: readonly number[]): readonly string[] => {
  if (candidates.length === 1) return [];
  return [
    candidates.length === 0
      ? `farms.${color}: none found`
      : `farms.${color}: could be ${candidates.join(' or ')}`,
  ];
};
