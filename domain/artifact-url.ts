/**
 * Where in `url` a credential stands, in words that do not repeat its value; `undefined` where there is none.
 * Such a URL would end up in histories, logs and reports.
 */
export function credentialInUrl(url: string): string | undefined {
  const parsed = parse(url);
  if (!parsed) return undefined;
  if (parsed.username !== '' || parsed.password !== '') return 'a user name or password before the host';
  const parameter = [...parsed.searchParams.keys(), ...keysOfFragment(parsed)].find(isCredentialName);
  return parameter === undefined ? undefined : `the parameter "${parameter}"`;
}

/** Why `url` may not name an artifact, as a complaint with the alternative; `undefined` where it may. */
export function refusalOfArtifactUrl(url: string): string | undefined {
  const credential = credentialInUrl(url);
  if (credential !== undefined) {
    return `its URL carries ${credential}, needs one without credentials\n  send a header instead: artifact.headers in verdigris.yaml names a secret that only the worker knows`;
  }
  const parsed = parse(url);
  if (!parsed) return 'it has no valid URL, needs https://... or file:///...';
  if (parsed.protocol === 'file:' && parsed.host !== '')
    return `its URL names the machine "${parsed.host}", needs file:///... with three slashes`;
  return undefined;
}

/** The URL for messages: without query and fragment, whatever they hold. */
export function displayUrl(url: string): string {
  const parsed = parse(url);
  if (!parsed) return 'an invalid URL';
  return parsed.protocol === 'file:' ? `file://${parsed.pathname}` : `${parsed.origin}${parsed.pathname}`;
}

/** Names are compared without case and without `-`, `_` and `.`. */
function isCredentialName(name: string): boolean {
  const plain = name.toLowerCase().replaceAll(/[-_.[\]]/g, '');
  return credentialNames.has(plain) || credentialEndings.some((ending) => plain.endsWith(ending));
}

const credentialNames = new Set([
  'sig', // Azure shared access signatures
  'auth',
  'authorization',
  'pass',
  'pwd',
  'jwt',
  'key',
  'hmac',
  'awsaccesskeyid',
  'googleaccessid',
  'keypairid', // CloudFront
]);

const credentialEndings = [
  'signature',
  'credential',
  'credentials',
  'token',
  'secret',
  'password',
  'passwd',
  'apikey',
  'accesskey',
  'secretkey',
  'privatekey',
  'tempurlsig', // OpenStack Swift, which is what OVHcloud's object storage speaks too
  'tempurlexpires',
];

const keysOfFragment = ({ hash }: URL): readonly string[] => [...new URLSearchParams(hash.slice(1)).keys()];

const parse = (url: string): URL | undefined => (URL.canParse(url) ? new URL(url) : undefined);
