/** Where an API is. `basePath` is part of every signed URL. */
export interface OvhEndpoint {
  readonly host: string;
  readonly port: number;
  readonly basePath: string;
}

const hosts: ReadonlyMap<string, string> = new Map([
  ['ovh-eu', 'eu.api.ovh.com'],
  ['ovh-ca', 'ca.api.ovh.com'],
  ['ovh-us', 'api.us.ovhcloud.com'],
]);

/** Reads `ovh-eu`, `ovh-ca`, `ovh-us` or a base URL such as `https://localhost:8443/1.0`. Throws a `TypeError` for anything else. */
export function ovhEndpoint(name: string): OvhEndpoint {
  const host = hosts.get(name);
  if (host !== undefined) return { host, port: 443, basePath: '/1.0' };
  const url = URL.canParse(name) ? new URL(name) : undefined;
  if (url?.protocol !== 'https:' || url.username !== '' || url.search !== '') {
    const shown = name.replace(/\/\/.*@/, '//[secret]@');
    throw new TypeError(
      `Cannot use "${shown}" as an OVHcloud endpoint: needs ${[...hosts.keys()].join(', ')} or an https URL without credentials`,
    );
  }
  const basePath = url.pathname.replace(/\/+$/, '');
  return {
    host: url.hostname,
    port: url.port === '' ? 443 : Number(url.port),
    basePath: basePath === '' ? '/1.0' : basePath,
  };
}
