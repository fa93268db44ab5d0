import type { ConfigurationComplaint } from '../../../configuration/complaints.js';
import { complain, pathOf, type PlacedServer, type ReadableParts } from '../readable-parts.js';

/** What no two servers may share. A server that lacks it is complained of elsewhere. */
export function amongServers({
  sections: { program, service, ssh },
  servers,
}: ReadableParts): readonly ConfigurationComplaint[] {
  const machineOf = ({ entry }: PlacedServer) =>
    `${entry.ssh?.host ?? entry.address}:${entry.ssh?.port ?? ssh?.port ?? 22}`;
  const portOf = ({ entry }: PlacedServer) => entry.port ?? program?.port;
  const unitOf = ({ entry }: PlacedServer) =>
    entry.unit ?? program?.unit ?? (service && `${service}.service`);
  const directoryOf = ({ entry }: PlacedServer) =>
    entry.directory ?? program?.directory ?? (service && `/opt/${service}`);
  const onItsMachine = (of: (server: PlacedServer) => string | undefined) => (server: PlacedServer) =>
    of(server) && `${machineOf(server)} ${of(server)}`;

  return [
    ...copiedProducts(servers, machineOf),
    ...repeated(
      servers,
      ({ entry }) => entry.name,
      (server, first) =>
        complain(
          pathOf(server, 'name'),
          `is "${server.entry.name}", which ${first} has already, needs a name of its own`,
        ),
    ),
    ...repeated(
      servers,
      (server) => portOf(server) && `${server.entry.address}:${portOf(server)}`,
      (server, first) =>
        complain(
          pathOf(server, 'address'),
          `is ${server.entry.address} with port ${portOf(server)}, which ${first} has already, needs an address or a port of its own`,
        ),
    ),
    ...repeated(servers, onItsMachine(unitOf), (server, first) =>
      complain(
        pathOf(server, 'unit'),
        `is ${unitOf(server)}, which ${first} has already on the same machine, needs a unit of its own`,
      ),
    ),
    ...repeated(servers, onItsMachine(directoryOf), (server, first) =>
      complain(
        pathOf(server, 'directory'),
        `is ${directoryOf(server)}, which ${first} has already on the same machine, needs a directory of its own`,
      ),
    ),
  ];
}

/** Complains of each that is what an earlier one is. */
export function repeated(
  servers: readonly PlacedServer[],
  identity: (server: PlacedServer) => string | undefined | 0,
  complaint: (server: PlacedServer, first: string) => ConfigurationComplaint,
): readonly ConfigurationComplaint[] {
  const firsts = new Map<string, PlacedServer>();
  return servers.flatMap((server) => {
    const its = identity(server);
    if (!its) return [];
    const first = firsts.get(its);
    if (first) return [complaint(server, `${first.color}[${first.index}]`)];
    firsts.set(its, server);
    return [];
  });
}

/** A product is one machine: at another one, its name was copied and not changed. */
function copiedProducts(
  servers: readonly PlacedServer[],
  machineOf: (server: PlacedServer) => string,
): readonly ConfigurationComplaint[] {
  const firsts = new Map<string, PlacedServer>();
  return servers.flatMap((server) => {
    if (!server.entry.ovh) return [];
    const product = JSON.stringify(server.entry.ovh);
    const first = firsts.get(product) ?? server;
    firsts.set(product, first);
    return machineOf(first) === machineOf(server)
      ? []
      : [
          complain(
            pathOf(server, 'ovh'),
            `names the machine that ${first.color}[${first.index}] is, but SSH reaches another one, needs the product of its own machine`,
          ),
        ];
  });
}

/** What a server may leave out only where a default stands for it. */
export function incompleteServers({ sections, servers }: ReadableParts): readonly ConfigurationComplaint[] {
  const { program, ssh } = sections;
  return servers.flatMap((server) => {
    const { entry } = server;
    const missing: ConfigurationComplaint[] = [];
    if (program && !('port' in program) && entry.port === undefined) {
      missing.push(complain(pathOf(server, 'port'), 'is missing, needs a port here or as program.port'));
    }
    for (const key of ['user', 'key'] as const) {
      if (ssh && !(key in ssh) && entry.ssh?.[key] === undefined) {
        missing.push(complain(pathOf(server, 'ssh', key), `is missing, needs to be here or as ssh.${key}`));
      }
    }
    return missing;
  });
}
