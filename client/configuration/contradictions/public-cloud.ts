import type { ConfigurationComplaint } from '../../../configuration/complaints.js';
import type { KeyPath } from '../../../configuration/documents.js';
import { complain, type PlacedServer, type Readable } from '../readable-parts.js';
import type { Configuration } from '../schema.js';

export type PublicCloudSection = Readable<
  Extract<Configuration['loadBalancer'], { driver: 'ovh-public-cloud' }>
>;

/** Each object is one thing. */
export function inPublicCloud(
  section: KeyPath,
  { listeners, stagingListener, pools, mixed, weights = {} }: PublicCloudSection,
  servers: readonly PlacedServer[],
): readonly ConfigurationComplaint[] {
  const at = (...keys: readonly (string | number)[]): KeyPath => [...section, ...keys];
  const again = (path: readonly string[], ids: readonly string[]): readonly ConfigurationComplaint[] =>
    ids.flatMap((id, index) =>
      ids.indexOf(id) === index ? [] : [complain(at(...path, index), `is ${id} again, needs each once`)],
    );
  const taken = (id: string): boolean => id === pools?.blue || id === pools?.green;
  const isServer = (name: string): boolean => servers.some(({ entry }) => entry.name === name);
  return [
    ...Object.keys(weights)
      .filter((name) => servers.length > 0 && !isServer(name))
      .map((name) => ({
        path: at('weights', name),
        at: 'key' as const,
        message: 'is the name of no server, needs one of environments',
      })),
    ...again(['listeners'], listeners ?? []),
    ...again(['mixed', 'pools'], mixed?.pools ?? []),
    ...(stagingListener !== undefined && listeners?.includes(stagingListener)
      ? [
          complain(
            at('stagingListener'),
            `is ${stagingListener}, which is one of listeners, needs a listener without traffic`,
          ),
        ]
      : []),
    ...(pools && pools.blue === pools.green
      ? [complain(at('pools', 'green'), `is ${pools.green} as blue's is, needs a pool of its own`)]
      : []),
    ...(mixed?.pools ?? []).flatMap((id, index) =>
      taken(id)
        ? [complain(at('mixed', 'pools', index), `is ${id} as one environment's is, needs a pool of its own`)]
        : [],
    ),
  ];
}
