import pMap from 'p-map';
import { z } from 'zod';
import { colors, otherColor, type Color } from '../../../domain/color.js';
import type { Service } from '../../../domain/service.js';
import type { OvhApi } from '../../../ovh/api.js';
import { OvhError } from '../../../ovh/error.js';
import { readAs } from '../ovh-document.js';
import { rootOf } from './configuration.js';
import { Balancer, Listener, Member, Pool } from './documents.js';

const Names = z.array(z.string());

/** One Public Cloud Load Balancer of the account, with what traffic is moved with. */
export interface FoundBalancer {
  readonly project: string;
  readonly region: string;
  readonly id: string;
  readonly name: string | undefined;
  readonly provisioningStatus: string;
  readonly address: string | undefined;
  readonly listeners: readonly Listener[];
  readonly pools: readonly (Pool & { readonly members: readonly Member[] })[];
}

/** Reads every load balancer in every region of one project, or of all that the credential may see. Changes nothing. */
export async function discoverBalancers(
  api: OvhApi,
  only: { readonly project?: string; readonly id?: string } = {},
): Promise<readonly FoundBalancer[]> {
  const projects = only.project === undefined ? await readAs(api, '/cloud/project', Names) : [only.project];
  const found = await pMap(projects, (project) => inProject(api, project, only.id), { concurrency: 2 });
  return found.flat();
}

async function inProject(
  api: OvhApi,
  project: string,
  only: string | undefined,
): Promise<readonly FoundBalancer[]> {
  const regions = await readAs(api, `/cloud/project/${encodeURIComponent(project)}/region`, Names);
  const found = await pMap(regions, (region) => inRegion(api, project, region, only), { concurrency: 2 });
  return found.flat();
}

async function inRegion(
  api: OvhApi,
  project: string,
  region: string,
  only: string | undefined,
): Promise<readonly FoundBalancer[]> {
  const root = rootOf({ project, region });
  const balancers = await offered(() => readAs(api, `${root}/loadbalancer`, z.array(Balancer)));
  return pMap(
    balancers.filter(({ id }) => only === undefined || id === only),
    async (balancer) => {
      const query = { loadbalancerId: balancer.id };
      const [listeners, pools] = await Promise.all([
        readAs(api, `${root}/listener`, z.array(Listener), { query }),
        readAs(api, `${root}/pool`, z.array(Pool), { query }),
      ]);
      const members = await pMap(
        pools,
        (pool) => readAs(api, `${root}/pool/${pool.id}/member`, z.array(Member)),
        {
          concurrency: 4,
        },
      );
      const { id, name, provisioningStatus, vipAddress } = balancer;
      return {
        project,
        region,
        id,
        name: name ?? undefined,
        provisioningStatus,
        address: typeof vipAddress === 'string' ? vipAddress : undefined,
        listeners,
        pools: pools.map((pool, index) => ({ ...pool, members: members[index] ?? [] })),
      };
    },
    { concurrency: 2 },
  );
}

/** Not every region has the product. */
async function offered<Kind>(read: () => Promise<readonly Kind[]>): Promise<readonly Kind[]> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof OvhError && error.status === 404) return [];
    throw error;
  }
}

/** What a service would say of its load balancer. What could not be told for certain is left out, and why is said. */
export interface BalancerProposal {
  readonly project: string;
  readonly region: string;
  readonly id: string;
  readonly listeners?: readonly string[];
  readonly stagingListener?: string;
  readonly pools?: Readonly<Record<Color, string>>;
  /** With `weights: keep`, as they are. */
  readonly mixed?: { readonly pools: readonly string[] };
  readonly open: readonly string[];
}

/**
 * Which of the objects are blue's, green's, the world's and for probes. Told by the servers in them where a service is given,
 * else by the colours in their names. Pure.
 */
export function balancerProposal(
  found: FoundBalancer,
  service?: Pick<Service, 'environments'>,
): BalancerProposal {
  const { project, region, id } = found;
  const candidates = { blue: poolsOf(found, 'blue', service), green: poolsOf(found, 'green', service) };
  const [blue, green] = [candidates.blue[0], candidates.green[0]];
  const unclear = colors.flatMap((color) =>
    candidates[color].length === 1
      ? []
      : [
          `pools.${color}: ${candidates[color].length === 0 ? 'none found' : `could be ${candidates[color].join(' or ')}`}`,
        ],
  );
  if (blue === undefined || green === undefined || unclear.length > 0)
    return { project, region, id, open: [...unclear, ...without] };
  const { live, staging } = divided(found.listeners, { blue, green });
  const mixed = found.pools.filter(({ members }) => colors.every((color) => holds(members, color, service)));
  return {
    project,
    region,
    id,
    pools: { blue, green },
    ...(mixed.length === 0 ? {} : { mixed: { pools: mixed.map((pool) => pool.id) } }),
    ...(live.length === 0 ? {} : { listeners: live }),
    ...(staging === undefined ? {} : { stagingListener: staging }),
    open: [
      ...(live.length === 0 ? ['listeners: none points at either pool'] : []),
      ...(staging === undefined
        ? ['stagingListener: none references the idle pool, which may not be probed then', ...without]
        : []),
    ],
  };
}

const without = ['what is missing can be created: verdigris ovh provision --plan'];

/** Whether all servers of an environment are among the members. */
function holds(
  members: readonly Member[],
  color: Color,
  service: Pick<Service, 'environments'> | undefined,
): boolean {
  const wanted = service?.environments[color] ?? [];
  return (
    wanted.length > 0 &&
    wanted.every(({ address, port }) =>
      members.some((member) => member.address === address && member.protocolPort === port),
    )
  );
}

/** A pool that has servers of both is a mixed one. */
function poolsOf(
  { pools }: FoundBalancer,
  color: Color,
  service: Pick<Service, 'environments'> | undefined,
): readonly string[] {
  const byMembers = pools.filter(
    ({ members }) => holds(members, color, service) && !holds(members, otherColor(color), service),
  );
  const byName = pools.filter(({ name }) => {
    const words = (name ?? '').toLowerCase();
    return words.includes(color) && !words.includes(otherColor(color));
  });
  return (byMembers.length > 0 ? byMembers : byName).map(({ id }) => id);
}

/** The world comes in by the usual ports, which are the low ones; who says to be for staging is not the world's. */
function divided(
  listeners: readonly Listener[],
  { blue, green }: Readonly<Record<Color, string>>,
): { readonly live: readonly string[]; readonly staging: string | undefined } {
  const ours = listeners
    .filter(({ defaultPoolId }) => defaultPoolId === blue || defaultPoolId === green)
    .toSorted((a, b) => a.port - b.port);
  const isNamed = ({ name }: Listener): boolean => /staging|idle|probe/i.test(name ?? '');
  const first = ours.find((listener) => !isNamed(listener));
  const live = ours.filter(
    (listener) => !isNamed(listener) && listener.defaultPoolId === first?.defaultPoolId,
  );
  const staging =
    ours.find(isNamed) ??
    ours.find(({ defaultPoolId }) => first !== undefined && defaultPoolId !== first.defaultPoolId);
  return { live: live.map(({ id }) => id), staging: staging?.id };
}
