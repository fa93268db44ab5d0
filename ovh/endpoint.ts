/** Where an API is. `basePath` is part of every signed URL. */
export interface OvhEndpoint {
  readonly host: string;
  readonly port: number;
  readonly basePath: string;
  /** Where a service account gets its tokens: another host than the API's at OVHcloud's own endpoints. */
  readonly tokenUrl: URL;
  /** As it stands in the URNs of resources and identities. */
  readonly region: 'eu' | 'ca' | 'us';
  /** Where a person makes an application key, or `undefined` where nobody knows. */
  readonly createAppUrl: string | undefined;
}

const known: ReadonlyMap<string, OvhEndpoint> = new Map(
  (
    [
      ['ovh-eu', 'eu', 'eu.api.ovh.com', 'https://www.ovh.com/auth/oauth2/token'],
      ['ovh-ca', 'ca', 'ca.api.ovh.com', 'https://ca.ovh.com/auth/oauth2/token'],
      ['ovh-us', 'us', 'api.us.ovhcloud.com', 'https://us.ovhcloud.com/auth/oauth2/token'],
    ] as const
  ).map(([name, region, host, tokenUrl]) => [
    name,
    {
      host,
      port: 443,
      basePath: '/1.0',
      tokenUrl: new URL(tokenUrl),
      region,
      createAppUrl: `https://${host}/createApp/`,
    },
  ]),
);

/**
 * Reads `ovh-eu`, `ovh-ca`, `ovh-us` or a base URL such as `https://localhost:8443/1.0`, whose tokens come from
 * `/auth/oauth2/token` of the same host unless `tokenUrl` names another place. Throws a `TypeError` for anything else.
 */
export function ovhEndpoint(name: string, tokenUrl?: string): OvhEndpoint {
  const endpoint = known.get(name) ?? atUrl(name);
  return tokenUrl === undefined ? endpoint : { ...endpoint, tokenUrl: urlFrom(tokenUrl, 'a token URL') };
}

function atUrl(name: string): OvhEndpoint {
  const url = urlFrom(name, 'an OVHcloud endpoint', [...known.keys()]);
  const basePath = url.pathname.replace(/\/+$/, '');
  return {
    host: url.hostname,
    port: url.port === '' ? 443 : Number(url.port),
    basePath: basePath === '' ? '/1.0' : basePath,
    tokenUrl: new URL('/auth/oauth2/token', url),
    region: 'eu',
    createAppUrl: undefined,
  };
}

function urlFrom(written: string, what: string, names: readonly string[] = []): URL {
  const url = URL.canParse(written) ? new URL(written) : undefined;
  if (url?.protocol === 'https:' && url.username === '' && url.search === '') return url;
  const shown = written.replace(/\/\/.*@/, '//[secret]@');
  const needs = [...names, 'an https URL without credentials'].join(', ').replace(/, (?=an https)/, ' or ');
  throw new TypeError(`Cannot use "${shown}" as ${what}: needs ${needs}`);
}

/** The path on the wire: `/v2` stands beside `/1.0`, not below it. */
export const targetAt = ({ basePath }: OvhEndpoint, path: string): string =>
  isV2(path) ? basePath.replace(/\/(1\.0|v1)$/, '') + path : basePath + path;

export const isV2 = (path: string): boolean => path.startsWith('/v2/');
