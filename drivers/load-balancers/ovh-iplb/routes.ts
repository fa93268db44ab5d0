import type { Color } from '../../../domain/color.js';
import type { TestersMark, TestersSettings } from '../../../domain/service.js';
import type { Configuration } from './configuration.js';
import type { Route, Rule } from './documents.js';
import type { Entry, FarmRole } from './entry.js';

/** What the routes of a service's frontends do to its traffic, before their default farms get any. */
export interface Routing {
  /** Why nobody can say where the traffic goes: routes that take all of it, or some to one environment whatever is live. */
  readonly confusions: readonly string[];
  /** Routes that take a part of the traffic to something else, in words. */
  readonly diversions: readonly string[];
  /** The environment that the testers' route leads to while it is open. */
  readonly testersReach: Color | undefined;
}

export const testersRoute = (entry: Entry, testers: TestersSettings): string =>
  `${entry.protocol}/route/${testers.route}`;

/** What the routes on an entry's frontends do, the testers' own one apart. */
export function routingOf(
  entry: Entry,
  configuration: Configuration,
  testers: TestersSettings | undefined,
): Routing {
  const routes = [...configuration.routes].filter(([name, { frontendId }]) =>
    entry.frontends.some(
      (frontend) => name.startsWith(`${entry.protocol}/`) && frontend.endsWith(`/${frontendId}`),
    ),
  );
  const own = testers && testersRoute(entry, testers);
  const others = routes.filter(([name]) => name !== own);
  const confusing = others.filter(([, route]) => isConfusing(entry, route));
  const testing = routes.find(([name]) => name === own)?.[1];
  return {
    confusions: [
      ...confusing.map(([name, route]) => confusionWords(entry, name, route)),
      ...(testing && own !== undefined ? testersConfusions(entry, own, testing) : []),
    ],
    diversions: others
      .filter((route) => !confusing.includes(route))
      .map(([name, route]) => `${name} ${actionWords(entry, route)} where ${rulesWords(route)}`),
    testersReach: testing && reachedBy(entry, testing, configuration),
  };
}

/** Why the testers' route cannot be used, in words. */
export function testersHindrances(
  entry: Entry,
  { routes }: Configuration,
  testers: TestersSettings,
): readonly string[] {
  const name = testersRoute(entry, testers);
  const route = routes.get(name);
  if (!route) return [`${name}, the testers' route, is not there`];
  const isOnOurs = entry.frontends.some((frontend) => frontend.endsWith(`/${route.frontendId}`));
  const [rule, ...more] = route.rules ?? [];
  const wanted = ruleFor(testers.by);
  const isMarked =
    rule !== undefined &&
    more.length === 0 &&
    Object.entries(wanted).every(([key, value]) => rule[key] === value);
  return [
    ...(isOnOurs ? [] : [`${name}, the testers' route, is on none of the frontends`]),
    ...(isMarked
      ? []
      : [`${name}, the testers' route, is for ${rulesWords(route)}, needs ${ruleWords(wanted)} alone`]),
  ];
}

/** The rule that tells testers, as the API has it. */
export const ruleFor = (mark: TestersMark): Rule & Readonly<Record<string, string>> =>
  mark.kind === 'source'
    ? { field: 'source', match: mark.address.includes('/') ? 'in' : 'is', pattern: mark.address }
    : { field: mark.kind, subField: mark.name, match: 'is', pattern: mark.value };

/** Whom a route's rule tells, where it is one that could tell testers. */
export function markOf({ rules }: Pick<Route, 'rules'>): TestersMark | undefined {
  const [rule, ...more] = rules ?? [];
  if (!rule || more.length > 0 || rule.negate === true) return undefined;
  const { field, match, subField, pattern } = rule;
  if (!pattern) return undefined;
  if (field === 'source')
    return match === 'is' || match === 'in' ? { kind: field, address: pattern } : undefined;
  if ((field !== 'header' && field !== 'cookie') || match !== 'is' || !subField) return undefined;
  return { kind: field, name: subField, value: pattern };
}

/** The action by which a route leads to a farm. */
export const actionTo = (farmId: number): { readonly type: 'farm'; readonly target: string } => ({
  type: 'farm',
  target: String(farmId),
});

const targetOf = (entry: Entry, { action }: Route): FarmRole | undefined =>
  action.type === 'farm' ? entry.roleOf(Number(action.target)) : undefined;

const takesAll = ({ rules = [] }: Route): boolean => (rules ?? []).length === 0;

/** A part of the traffic that goes to something else is somebody's wish; one that goes to blue or green is not divided by us. */
const isConfusing = (entry: Entry, route: Route): boolean =>
  takesAll(route) || targetOf(entry, route) !== undefined;

function reachedBy(entry: Entry, route: Route, configuration: Configuration): Color | undefined {
  const target = targetOf(entry, route);
  const everybody = entry.frontends.map((frontend) => entry.pointsAt(frontend, configuration));
  return target === undefined || target === 'mixed' || everybody.includes(target) ? undefined : target;
}

/** Without its rule, or towards a farm that is not ours, it does not do what it is for. */
function testersConfusions(entry: Entry, name: string, route: Route): readonly string[] {
  if (route.action.type === 'farm' && targetOf(entry, route) !== undefined && !takesAll(route)) return [];
  return [`${name}, the testers' route, ${actionWords(entry, route)} where ${rulesWords(route)}`];
}

const confusionWords = (entry: Entry, name: string, route: Route): string =>
  `${name} ${actionWords(entry, route)} ${takesAll(route) ? 'before its default' : `where ${rulesWords(route)}, whatever is live`}`;

function actionWords(entry: Entry, route: Route): string {
  const { type, target } = route.action;
  const frontend = `frontend ${route.frontendId}`;
  if (type !== 'farm') return `${type}s traffic of ${frontend}${target ? ` to ${target}` : ''}`;
  const role = targetOf(entry, route);
  return `takes traffic of ${frontend} to farm ${target}${role === undefined ? '' : ` (${role})`}`;
}

const rulesWords = ({ rules }: Route): string =>
  (rules ?? []).length === 0 ? 'anything' : (rules ?? []).map(ruleWords).join(' and ');

const ruleWords = ({ field, subField, match, pattern, negate }: Rule): string =>
  [negate === true ? 'not' : '', field, subField, match, pattern].filter(Boolean).join(' ');
