import type { FrontendConfiguration, RouteConfiguration, RuleConfiguration } from './configuration.js';

/** The lines by which a frontend sends a part of its traffic elsewhere, before its default farm gets any. */
export const routeLines = (
  { frontendId, routes }: FrontendConfiguration,
  backendName: (farmId: number) => string,
  quoted: (text: string) => string,
): readonly string[] =>
  routes.flatMap((route) => {
    const names = route.rules.map((_, index) => `route-${route.routeId}-${index}`);
    const condition = route.rules.map(({ negate }, index) => `${negate ? '!' : ''}${names[index] ?? ''}`);
    return [
      ...route.rules.map((rule, index) => `  acl ${names[index] ?? ''} ${aclOf(rule, quoted, frontendId)}`),
      `  ${actionOf(route, backendName, frontendId)}${condition.length > 0 ? ` if ${condition.join(' ')}` : ''}`,
    ];
  });

function actionOf(
  { routeId, action }: RouteConfiguration,
  backendName: (farmId: number) => string,
  frontendId: number,
): string {
  if (action.kind === 'farm') return `use_backend ${backendName(action.farmId)}`;
  throw new Error(
    `Cannot run frontend "${frontendId}" in HAProxy: route ${routeId} would ${action.kind}, needs one that leads to a farm`,
  );
}

function aclOf(
  { field, subField, match, pattern }: RuleConfiguration,
  quoted: (text: string) => string,
  frontendId: number,
): string {
  const what = samples[field]?.(quoted(subField ?? ''));
  const how = flags[match];
  if (what === undefined || how === undefined) {
    throw new Error(
      `Cannot run frontend "${frontendId}" in HAProxy: a rule asks whether ${field} ${match} something, needs another`,
    );
  }
  const patterns = match === 'in' ? (pattern ?? '').split(',').map((one) => one.trim()) : [pattern ?? ''];
  const shown = match === 'exists' ? [] : patterns.map(quoted);
  // Addresses are compared as such, also with blocks.
  return [what, ...(field === 'source' ? [] : [how]), ...shown].join(' ');
}

const samples: Readonly<Record<string, (subField: string) => string>> = {
  header: (name) => `req.hdr(${name})`,
  cookie: (name) => `req.cook(${name})`,
  param: (name) => `url_param(${name})`,
  source: () => 'src',
  method: () => 'method',
  uri: () => 'url',
  host: () => 'req.hdr(host),field(1,:)',
};

const flags: Readonly<Record<string, string>> = {
  is: '-m str',
  in: '-m str',
  contains: '-m sub',
  startswith: '-m beg',
  endswith: '-m end',
  matches: '-m reg',
  exists: '-m found',
};
