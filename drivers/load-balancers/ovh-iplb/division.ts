import { colors, type Color } from '../../../domain/color.js';
import type { Division, Shares } from '../../../domain/observation.js';
import type { ServerName } from '../../../domain/names.js';
import type { Server } from '../../../domain/service.js';
import type { Split } from '../../../domain/split.js';
import { smallestShare, splitOf, type PerColor } from '../../../domain/weights.js';
import type { Configuration } from './configuration.js';
import type { BackendServer } from './documents.js';
import { isServing, membersOf, type Entry } from './entry.js';

/** How the mixed farms could divide traffic between the servers that are not left out, or why they cannot. */
export function divisionBy(
  entries: readonly Entry[],
  configuration: Configuration,
  servers: readonly Server[],
  leftOut: readonly ServerName[],
): Division {
  const because = entries.flatMap((entry) => hindrancesOf(entry, configuration, servers));
  if (because.length > 0) return { kind: 'impossible', because: because.join('; ') };
  const counts = countsOf(servers.filter(({ name }) => !leftOut.includes(name)));
  return {
    kind: 'possible',
    shares: sharesOf(entries, configuration),
    smallest: { blue: smallestShare('blue', counts), green: smallestShare('green', counts) },
  };
}

/** How a mixed farm divides traffic now; `undefined` where none of its servers gets any. */
export const dividedBy = (
  entry: Entry,
  configuration: Configuration,
  servers: readonly Server[],
): Split | undefined =>
  splitOf(
    servers.flatMap((server) => {
      const [, member] = entry.member(server, 'mixed', configuration) ?? [];
      return member && isServing(member) ? [[server.color, member.weight ?? 1] as const] : [];
    }),
  );

/** Servers of a farm that get traffic and are none of these. */
export function strangersIn(
  farm: string,
  configuration: Configuration,
  known: readonly string[],
): readonly string[] {
  return membersOf(farm, configuration).flatMap(([name, object]) =>
    isServing(object) && object['backup'] !== true && !known.includes(name) ? [name] : [],
  );
}

export const countsOf = (servers: readonly Server[]): PerColor => ({
  blue: servers.filter(({ color }) => color === 'blue').length,
  green: servers.filter(({ color }) => color === 'green').length,
});

/** Sticky clients keep their server whatever its weight: their share does not follow. */
const sharesOf = (entries: readonly Entry[], { farms }: Configuration): Shares =>
  entries.some((entry) => (farms.get(entry.farm('mixed'))?.stickiness ?? null) !== null)
    ? 'of new clients'
    : 'of new connections';

function hindrancesOf(
  entry: Entry,
  configuration: Configuration,
  servers: readonly Server[],
): readonly string[] {
  if (!entry.roles.includes('mixed')) return ['no mixed farm is configured (loadBalancer.mixed)'];
  const name = entry.farm('mixed');
  const farm = configuration.farms.get(name);
  if (!farm) return [`${name}, the mixed farm, is not there`];
  const members = servers.flatMap((server) => entry.member(server, 'mixed', configuration)?.[0] ?? []);
  const balance = farm.balance ?? 'roundrobin';
  return [
    ...(balance === 'roundrobin'
      ? []
      : [`${name} balances by ${balance}, which does not follow weights, needs roundrobin`]),
    ...stickinessHindrances(entry, configuration),
    ...(farm.probe ? [] : [`${name} has no probe, needs one`]),
    ...servers.flatMap((server) => memberHindrances(entry, server, configuration)),
    ...strangersIn(name, configuration, members).map(
      (stranger) => `${stranger} is none of this service's servers and would get traffic`,
    ),
  ];
}

/** A client that has to stay with its server must be as safe there as in the farms of blue and green. */
function stickinessHindrances(entry: Entry, { farms }: Configuration): readonly string[] {
  const of = (farm: string): string => farms.get(farm)?.stickiness ?? 'none';
  const name = entry.farm('mixed');
  return colors
    .filter((color) => of(entry.farm(color)) !== of(name))
    .map(
      (color) =>
        `${name} has stickiness ${of(name)} and ${color}'s farm ${of(entry.farm(color))}, needs the same`,
    );
}

/** What makes another server of one that is spoken to in another way. */
const manners = ['ssl', 'proxyProtocolVersion'] as const;

function memberHindrances(entry: Entry, server: Server, configuration: Configuration): readonly string[] {
  const name = entry.farm('mixed');
  const [object, member] = entry.member(server, 'mixed', configuration) ?? [];
  if (object === undefined || !member) return [`${server.name} is not in ${name}`];
  const [, original] = entry.member(server, server.color, configuration) ?? [];
  const odd = original && manners.find((field) => valueOf(member, field) !== valueOf(original, field));
  return [
    ...(member['backup'] === true ? [`${object} is a backup, needs to get traffic`] : []),
    ...(member.probe === true ? [] : [`${object} is not probed`]),
    ...(odd === undefined ? [] : [`${object} has another ${odd} than in ${server.color}'s farm`]),
  ];
}

const valueOf = (object: BackendServer, field: string): string => JSON.stringify(object[field] || null);

/** Why a split of an environment without servers, or smaller than weights can tell, is none. */
export const tooSmall = (smallest: Readonly<Record<Color, number>>): string =>
  `the smallest share is ${percent(smallest.blue)} for blue and ${percent(smallest.green)} for green`;

const percent = (share: number): string => `${+share.toFixed(2)} %`;
