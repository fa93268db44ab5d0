import type { ConfigurationComplaint } from '../../configuration/complaints.js';
import type { KeyPath } from '../../configuration/documents.js';
import { complain, pathOf, type ReadableParts } from './readable-parts.js';
import type { ServerEntry, SshLogin } from './schema.js';

/** What goes with which key. */
export function keyContradictions({
  sections: { ssh },
  servers,
}: ReadableParts): readonly ConfigurationComplaint[] {
  const places: readonly (readonly [KeyPath, SshLogin])[] = [
    [['ssh'], ssh ?? {}],
    ...bastionsOf(ssh).map((bastion, index) => [['ssh', 'bastions', index], bastion] as const),
    ...servers.flatMap((server) => [
      [pathOf(server, 'ssh'), server.entry.ssh ?? {}] as const,
      ...bastionsOf(server.entry.ssh).map(
        (bastion, index) => [[...pathOf(server, 'ssh', 'bastions'), index], bastion] as const,
      ),
    ]),
  ];
  return places.flatMap(([path, { key, passphrase, certificate }]) => {
    if (key === undefined && path.length > 1) {
      const lonely = [passphrase && 'passphrase', certificate && 'certificate'].filter(
        (name) => name !== undefined,
      );
      return lonely.map((name) =>
        complain([...path, name], 'has no key beside it, needs the key that it belongs to'),
      );
    }
    return key !== undefined && 'agent' in key && passphrase !== undefined
      ? [
          complain(
            [...path, 'passphrase'],
            'stands beside a key that an agent holds, needs to go: the agent has opened it',
          ),
        ]
      : [];
  });
}

type WrittenBastions = NonNullable<NonNullable<ServerEntry['ssh']>['bastions']>;

/** Those that could be read. */
const bastionsOf = (ssh: { readonly bastions?: unknown } | undefined): WrittenBastions =>
  Array.isArray(ssh?.bastions) ? (ssh.bastions as WrittenBastions) : [];

/** Whoever is reached has a key pinned, and none that is revoked. */
export function hostKeyContradictions({
  sections: { ssh },
  servers,
  knownHosts,
}: ReadableParts): readonly ConfigurationComplaint[] {
  const bastions = (path: KeyPath, list: WrittenBastions) =>
    list.map((bastion, index) => ({ path: [...path, index], ...bastion }));
  const reached = [
    ...bastions(['ssh', 'bastions'], bastionsOf(ssh)),
    ...servers.flatMap((server) => [
      {
        path: pathOf(server),
        host: server.entry.ssh?.host ?? server.entry.address,
        port: server.entry.ssh?.port ?? ssh?.port,
        hostKey: server.entry.hostKey,
      },
      ...bastions(pathOf(server, 'ssh', 'bastions'), bastionsOf(server.entry.ssh)),
    ]),
  ];
  return reached.flatMap(({ path, host, port, hostKey }) => {
    const known = knownHosts?.lookUp(host, port ?? 22);
    const scan = `ssh-keyscan -p ${port ?? 22} ${host}`;
    if (hostKey !== undefined) {
      const revoked = [hostKey].flat().some((key) => known?.revoked.some((one) => key.endsWith(one)));
      return revoked
        ? [
            complain(
              [...path, 'hostKey'],
              `is revoked by ${knownHosts?.path}, needs the key that the machine has now`,
            ),
          ]
        : [];
    }
    // A file that could not be read has a complaint of its own.
    if (!known) {
      return ssh && 'knownHosts' in ssh
        ? []
        : [
            complain(
              [...path, 'hostKey'],
              `is missing, needs a fingerprint here (${scan} | ssh-keygen -lf -) or ssh.knownHosts`,
            ),
          ];
    }
    return known.lacks === undefined
      ? []
      : [
          complain(
            [...path, 'hostKey'],
            `is missing, and ${known.lacks}, needs a key of the machine itself here or there (${scan})`,
          ),
        ];
  });
}
