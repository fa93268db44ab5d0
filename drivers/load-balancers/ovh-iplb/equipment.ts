import { colors, otherColor, type Color } from '../../../domain/color.js';
import type { ServerName } from '../../../domain/names.js';
import type { Configuration } from './configuration.js';
import { freePort, hasServer, markerOf, ownObject, type Wish } from './provisioning-plan.js';
import { ruleFor } from './routes.js';

type Body = Readonly<Record<string, unknown>>;

/** What a configuration asks for beside two farms and a staging frontend. */
export type EquipmentStep =
  | { readonly kind: 'mixed farm'; readonly body: Body }
  | { readonly kind: 'mixed server'; readonly server: ServerName; readonly body: Body }
  | { readonly kind: 'mixed staging frontend'; readonly body: Body }
  | {
      readonly kind: 'backup';
      /** The environment whose farm it stands by in. */
      readonly color: Color;
      readonly server: ServerName;
      readonly body: Body;
    }
  /** It leads to the farm of `color`, where everybody is. */
  | { readonly kind: 'testers route'; readonly color: Color; readonly body: Body }
  | { readonly kind: 'testers rule'; readonly body: Body };

export interface EquipmentPlan {
  readonly steps: readonly EquipmentStep[];
  /** What is there already and stays as it is. */
  readonly found: Readonly<Partial<Record<'mixed' | 'mixedStaging' | 'testers', number>>>;
  readonly notes: readonly string[];
  readonly refusals: readonly string[];
}

interface Ground {
  readonly zone: string;
  readonly farms: Readonly<Partial<Record<Color, number>>>;
  /** The environment that the world's first frontend points at. */
  readonly live: Color | undefined;
  /** A port that the plan has given away already. */
  readonly taken: number | undefined;
  /** A farm as it would be made for this service. */
  readonly farmBody: Body;
}

/** What has to be created so that traffic can be divided, the old servers can stand by, and testers can be let in. Pure. */
export function equipmentPlan(wish: Wish, configuration: Configuration, ground: Ground): EquipmentPlan {
  const parts = [
    mixedPlan(wish, configuration, ground),
    backupPlan(wish, configuration, ground),
    testersPlan(wish, configuration, ground),
  ];
  return {
    steps: parts.flatMap(({ steps = [] }) => steps),
    found: Object.assign({}, ...parts.map(({ found = {} }) => found)) as EquipmentPlan['found'],
    notes: parts.flatMap(({ notes = [] }) => notes),
    refusals: parts.flatMap(({ refusals = [] }) => refusals),
  };
}

type Part = Partial<EquipmentPlan>;

function mixedPlan(wish: Wish, configuration: Configuration, { zone, taken, farmBody }: Ground): Part {
  const { settings, missing, service } = wish;
  const { protocol, mixed } = settings;
  if (!mixed) return {};
  const marker = markerOf(service.id, 'mixed');
  const stagingMarker = markerOf(service.id, 'mixed-staging');
  const farm = missing.mixedFarm ? ownObject(configuration, `${protocol}/farm/`, marker) : mixed.farm;
  const staging = missing.mixedStagingFrontend
    ? ownObject(configuration, `${protocol}/frontend/`, stagingMarker)
    : mixed.stagingFrontend;
  const servers = colors.flatMap((color) => service.environments[color]);
  const name = `${protocol}/farm/${farm}`;
  const absent = servers.filter((server) => farm === undefined || !hasServer(configuration, name, server));
  const port = freePort(configuration, taken);
  return {
    steps: [
      ...(farm === undefined
        ? [{ kind: 'mixed farm', body: { ...farmBody, zone, displayName: marker } } as const]
        : []),
      ...absent.map(
        ({ name: server, address, port: at }) =>
          ({
            kind: 'mixed server',
            server,
            body: { address, port: at, status: 'active', weight: 1, probe: true, displayName: server },
          }) as const,
      ),
      ...(staging === undefined && port !== undefined
        ? [
            {
              kind: 'mixed staging frontend',
              body: {
                zone,
                port: String(port),
                displayName: stagingMarker,
                allowedSource: [...wish.stagingSources],
              },
            } as const,
          ]
        : []),
    ],
    found: {
      ...(farm === undefined ? {} : { mixed: farm }),
      ...(staging === undefined ? {} : { mixedStaging: staging }),
    },
    refusals: [
      ...missingObject(configuration.farms, `${protocol}/farm/`, farm, 'loadBalancer.mixed.farm'),
      ...missingObject(
        configuration.frontends,
        `${protocol}/frontend/`,
        staging,
        'loadBalancer.mixed.stagingFrontend',
      ),
    ],
  };
}

const missingObject = (
  objects: ReadonlyMap<string, unknown>,
  prefix: string,
  id: number | undefined,
  key: string,
): readonly string[] =>
  id === undefined || objects.has(`${prefix}${id}`)
    ? []
    : [`there is no ${prefix.slice(0, -1).replace('/', ' ')} ${id}, needs to be there: ${key}`];

/** Inactive, they get nothing: also a farm that has traffic may be given them. */
function backupPlan({ service, settings }: Wish, configuration: Configuration, { farms }: Ground): Part {
  if (!settings.fallback) return {};
  const steps = colors.flatMap((color) => {
    const id = farms[color];
    const farm = `${settings.protocol}/farm/${id}`;
    return service.environments[otherColor(color)]
      .filter((server) => id === undefined || !hasServer(configuration, farm, server))
      .map(({ name: server, address, port }) => ({
        kind: 'backup' as const,
        color,
        server,
        body: {
          address,
          port,
          status: 'inactive',
          weight: 1,
          probe: true,
          backup: true,
          displayName: `${server} (backup)`,
        },
      }));
  });
  return { steps };
}

function testersPlan(
  { service, settings, missing }: Wish,
  configuration: Configuration,
  { live }: Ground,
): Part {
  const { testers, protocol, frontends } = settings;
  if (!testers) return {};
  const marker = markerOf(service.id, 'testers');
  const route = missing.testersRoute ? ownObject(configuration, `${protocol}/route/`, marker) : testers.route;
  if (route !== undefined) {
    const there = configuration.routes.get(`${protocol}/route/${route}`);
    if (!there)
      return {
        refusals: [`there is no ${protocol} route ${route}, needs to be there: loadBalancer.testers.route`],
      };
    const hasRule = (there.rules ?? []).length > 0;
    return {
      found: { testers: route },
      steps: hasRule ? [] : [{ kind: 'testers rule', body: ruleFor(testers.by) }],
    };
  }
  if (live === undefined) {
    return {
      notes: [
        'the route for testers leads to where everybody is, which nobody can tell yet: run this again once blue is live',
      ],
    };
  }
  return {
    steps: [
      {
        kind: 'testers route',
        color: live,
        body: { frontendId: frontends[0], displayName: marker },
      },
      { kind: 'testers rule', body: ruleFor(testers.by) },
    ],
  };
}

/** A step for people. */
export function describeEquipment(step: EquipmentStep): string {
  const { body } = step;
  const named = `"${String(body['displayName'])}"`;
  switch (step.kind) {
    case 'mixed farm':
      return `create farm ${named} for both environments: port ${String(body['port'])}, zone ${String(body['zone'])}`;
    case 'mixed server':
      return `create server ${step.server} in it: ${String(body['address'])}:${String(body['port'])}`;
    case 'mixed staging frontend':
      return `create frontend ${named} on port ${String(body['port'])}, which references the mixed farm so that it is probed`;
    case 'backup':
      return `create server ${step.server} in the farm of ${step.color}: an inactive backup`;
    case 'testers route':
      return `create route ${named} on frontend ${String(body['frontendId'])}, which leads to ${step.color} as everybody`;
    case 'testers rule':
      return `create its rule: ${Object.values(body).map(String).join(' ')}`;
    default:
      return step satisfies never;
  }
}
