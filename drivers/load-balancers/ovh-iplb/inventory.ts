import type { Configuration } from './configuration.js';
import type { BackendServer } from './documents.js';

/** What a farm has at this address and port. */
export function serverIn(
  { farms, servers }: Configuration,
  farm: string,
  address: string,
  port: number,
): BackendServer | undefined {
  const farmPort = farms.get(farm)?.port;
  const found = [...servers].find(
    ([name, server]) =>
      name.startsWith(`${farm}/server/`) && server.address === address && (server.port ?? farmPort) === port,
  );
  return found?.[1];
}

/** Numbers of the objects with our marker, the oldest first. */
export const ownObjects = (
  { farms, frontends, routes }: Configuration,
  prefix: string,
  marker: string,
): readonly number[] =>
  [...farms, ...frontends, ...routes]
    .filter(([name, object]) => name.startsWith(prefix) && object['displayName'] === marker)
    .map(([name]) => Number(name.slice(prefix.length)))
    .toSorted((a, b) => a - b);

/** Ports on which frontends listen, with the name of the frontend. */
export const portsTaken = ({ frontends }: Configuration): ReadonlyMap<number, string> =>
  new Map(
    [...frontends].flatMap(([name, { port }]) => portsIn(String(port)).map((one) => [one, name] as const)),
  );

/** The first of a hundred ports from `first` on that nobody has and nobody was given. */
export const freePort = (
  taken: ReadonlyMap<number, unknown>,
  given: ReadonlySet<number>,
  first = 8888,
): number | undefined =>
  Array.from({ length: 100 }, (_, index) => first + index).find(
    (port) => !given.has(port) && !taken.has(port),
  );

/** `80`, `8000-8010` and `80,443`, as frontends have them. Anything else is no port. */
const portsIn = (written: string): readonly number[] =>
  written.split(',').flatMap((part) => {
    const [first = NaN, last = first] = part.split('-').map(Number);
    return Number.isNaN(first) ? [] : Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
