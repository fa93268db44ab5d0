/** What a load balancer is able to do: the same for every customer. */

const httpMatches = ['contains', 'default', 'matches', 'status'];

const probe = (type: string, matches: readonly string[], url: boolean, port = true) => ({
  type,
  matches,
  negatableMatches: matches.filter((match) => match !== 'default'),
  ...(url && { method: ['GET', 'HEAD', 'OPTIONS'] }),
  port,
  url,
});

export const availableFarmProbes = {
  http: [
    probe('http', httpMatches, true),
    probe('mysql', ['default'], false),
    probe('oco', ['default'], false, false),
    probe('pgsql', ['default'], false),
    probe('smtp', ['default'], false),
    probe('tcp', ['contains', 'default', 'matches'], false),
  ],
};

const allMatches = ['contains', 'endswith', 'exists', 'in', 'is', 'matches', 'startswith'];

const rule = (name: string, type: string, hasSubField: boolean, matches: readonly string[] = allMatches) => ({
  name,
  type,
  hasSubField,
  matches,
  pattern: 'string',
});

export const availableRouteRules = [
  rule('protocol', 'http', false, ['is']),
  rule('source', 'http', false, ['in', 'is']),
  rule('host', 'http', false),
  rule('method', 'http', false, ['in', 'is']),
  rule('uri', 'http', false),
  rule('param', 'http', true),
  rule('header', 'http', true),
  rule('cookie', 'http', true),
  rule('protocol', 'tcp', false, ['is']),
  rule('source', 'tcp', false, ['in', 'is']),
  rule('host', 'tcp', false),
];

export const availableRouteActions = [
  { name: 'farm', type: 'http', destination: 'farmId' },
  { name: 'redirect', type: 'http', destination: 'url', status: [301, 302, 303, 307, 308] },
  { name: 'reject', type: 'http', status: [200, 400, 403, 405, 408, 425, 429, 500, 502, 503, 504] },
  { name: 'farm', type: 'tcp', destination: 'farmId' },
  { name: 'reject', type: 'tcp' },
];

export const availableZones = ['bhs', 'gra', 'rbx', 'sbg', 'sgp', 'syd', 'waw'];
