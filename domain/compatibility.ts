import {
  compareVersions,
  describeBinary,
  familyVersion,
  hardeningGaps,
  type Binary,
  type VersionFamily,
  type VersionNeed,
} from './binary.js';
import { asComplaint, type Complaint } from './failures.js';
import { searchLibraries, strangePaths, type Binaries, type Search } from './library-search.js';
import { factsOf, type Observation, type PlatformFacts } from './observation.js';
import type { Server } from './service.js';

/** Why the program could not be loaded on these servers: everything at once, the servers with the same reason together. */
export function complaintsAboutBinaries(
  binaries: Binaries,
  servers: readonly Server[],
  observation: Observation,
): readonly Complaint[] {
  const reasons = new Map<string, { readonly reason: Reason; readonly servers: string[] }>();
  for (const server of servers) {
    const platform = factsOf(observation, server.name)?.platform;
    if (!platform) continue;
    for (const reason of reasonsAgainst(binaries, server, platform)) {
      const key = JSON.stringify(reason);
      const known = reasons.get(key);
      if (known) known.servers.push(server.name);
      else reasons.set(key, { reason, servers: [server.name] });
    }
  }
  return [...reasons.values()].map(({ reason, servers: names }) =>
    asComplaint(
      'ProgramIncompatible',
      `Cannot run "${binaries.program.path}" on ${listed(names)}: ${reason.needs}, ${
        reason.has === undefined
          ? reason.found
          : `${listed(names)} ${names.length === 1 ? 'has' : 'have'} ${reason.has}`
      }\n  ${reason.cure}`,
    ),
  );
}

/** The program and its libraries, one line each; people read this before they approve. */
export function describeBinaries({ program, libraries }: Binaries): readonly string[] {
  const shown = libraries.slice(0, maxLibrariesShown);
  const more = libraries.length - shown.length;
  return [...[program, ...shown].map(describeBinary), ...(more > 0 ? [`and ${more} more libraries`] : [])];
}

const maxLibrariesShown = 10;

/** What should be known of the binaries before anybody approves. */
export function warningsAboutBinaries(
  binaries: Binaries,
  servers: readonly Server[],
  observation: Observation,
): readonly string[] {
  const { program, libraries, unread } = binaries;
  const shown = [program, ...libraries];
  const search = searchLibraries(binaries, servers[0]?.directory ?? '');
  const unknown = servers.filter(({ name }) => {
    const facts = factsOf(observation, name);
    return facts !== undefined && !isKnown(program, facts.platform);
  });
  return [
    ...shown.flatMap((binary) => {
      const gaps = hardeningGaps(binary);
      return gaps.length === 0 ? [] : [`${binary.path} ${gaps.join(', ')}`];
    }),
    ...shown.flatMap((binary) =>
      strangePaths(binary).map(
        (entry) =>
          `${binary.path} looks for libraries in "${entry}": whoever may write there decides what runs ($ORIGIN/../lib leads into the release)`,
      ),
    ),
    ...strays(libraries, search),
    ...unread,
    ...(unknown.length === 0
      ? []
      : [
          `${listed(unknown.map(({ name }) => name))}: which glibc is there could not be told, the loader has to show during install whether ${program.path} fits`,
        ]),
  ];
}

/** One reason, in the parts of its sentence. */
interface Reason {
  readonly needs: string;
  /** What the server has instead. */
  readonly has?: string;
  /** What is the case where it is no server's matter. */
  readonly found?: string;
  readonly cure: string;
}

function reasonsAgainst(binaries: Binaries, server: Server, platform: PlatformFacts): readonly Reason[] {
  const { program } = binaries;
  const wrongMachine = reasonOfMachine(program, platform);
  if (wrongMachine) return [wrongMachine];
  const noLoader = reasonOfInterpreter(program, platform);
  if (noLoader) return [noLoader];
  const search = searchLibraries(binaries, server.directory);
  return [program, ...new Set(search.found.values())].flatMap((binary) =>
    binary.versions.flatMap((need) => {
      const reason = reasonOfVersion(need, binary, program, search, platform);
      return reason ? [reason] : [];
    }),
  );
}

function reasonOfMachine({ machine }: Binary, platform: PlatformFacts): Reason | undefined {
  if (platform.machine === machine && platform.bits === 64) return undefined;
  const has = platform.machine === machine ? `a ${platform.bits}-bit system` : platform.machine;
  return {
    needs: `it is built for ${machine}`,
    has,
    cure: `build it for ${platform.machine === machine ? '32 bits' : platform.machine}, or deploy to other machines`,
  };
}

function reasonOfInterpreter({ interpreter }: Binary, platform: PlatformFacts): Reason | undefined {
  if (interpreter === undefined || platform.interpreters.includes(interpreter)) return undefined;
  // The server tells what is in /lib and /lib64 only.
  if (!/^\/lib(64)?\/[^/]+$/.test(interpreter)) return undefined;
  return {
    needs: `it needs the loader ${interpreter}`,
    has: platform.interpreters.join(', ') || 'none',
    cure: `build it on ${systemOf(platform)}, or link it statically (-static)`,
  };
}

function reasonOfVersion(
  need: VersionNeed,
  binary: Binary,
  program: Binary,
  search: Search,
  platform: PlatformFacts,
): Reason | undefined {
  const version = familyVersion(need.version);
  if (!version) return undefined;
  const who = binary.path === program.path ? 'it' : binary.path;
  const symbol = need.symbol === undefined ? '' : ` (\`${need.symbol}\`)`;
  const needs = `${who} needs ${need.version}${symbol} of ${need.library}`;
  const own = search.found.get(need.library);
  if (own) {
    const offered = own.offers.map(familyVersion).find((offer) => offer?.family === version.family)?.number;
    if (offered === undefined || compareVersions(version.number, offered) <= 0) return undefined;
    const cure = `pack the ${need.library} of the compiler that built ${binary.path}`;
    return { needs, found: `the artifact's own ${own.path} offers ${offered}`, cure };
  }
  const there = platform[platformKeys[version.family]];
  if (there === undefined) {
    // Of glibc nothing may be known although it is there; libstdc++ is looked for by its file.
    if (version.family === 'GLIBC') return undefined;
    return { needs, has: 'no libstdc++', cure: cures.CXXABI(platform, 'none') };
  }
  if (compareVersions(version.number, there) <= 0) return undefined;
  return { needs, has: there, cure: cures[version.family](platform, there) };
}

const platformKeys = { GLIBC: 'glibc', GLIBCXX: 'glibcxx', CXXABI: 'cxxabi' } as const satisfies Record<
  VersionFamily,
  keyof PlatformFacts
>;

const cures: Readonly<Record<VersionFamily, (platform: PlatformFacts, there: string) => string>> = {
  GLIBC: (platform, there) =>
    `build on ${systemOf(platform)}, or where glibc is ${there} at most, not in gcc:latest`,
  GLIBCXX: (platform) =>
    `build with the compiler of ${systemOf(platform)}, or link with -static-libstdc++ -static-libgcc`,
  CXXABI: (platform, there) =>
    there === 'none'
      ? 'install it there (libstdc++6, on Red Hat libstdc++), or link with -static-libstdc++ -static-libgcc'
      : `build with the compiler of ${systemOf(platform)}, or link with -static-libstdc++ -static-libgcc`,
};

/** `Debian GNU/Linux 12 (bookworm)` -> `Debian 12`, as images are named. */
function systemOf({ system }: PlatformFacts): string {
  return system === undefined
    ? 'the system that the servers run'
    : system.replace(' GNU/Linux', '').replace(/ \([^)]*\)$/, '');
}

/** Libraries that somebody packed and nobody finds. */
function strays(libraries: readonly Binary[], { elsewhere }: Search): readonly string[] {
  return libraries.flatMap(({ path, links }) => {
    const name = [path, ...links].map(baseOf).find((base) => elsewhere.has(base));
    if (name === undefined) return [];
    const by = elsewhere.get(name)?.path ?? '';
    const up = by
      .split('/')
      .slice(1)
      .map(() => '../')
      .join('');
    const folder = path.split('/').slice(0, -1).join('/');
    return [
      `${by} does not find the artifact's own ${path}: link it with -Wl,-rpath,'$ORIGIN/${up}${folder}', or set Environment=LD_LIBRARY_PATH={{directory}}/current/${folder} in the unit`,
    ];
  });
}

/** Whether enough is known of a server to compare it with. */
const isKnown = ({ versions }: Binary, platform: PlatformFacts | undefined): boolean =>
  platform !== undefined && (versions.length === 0 || platform.glibc !== undefined);

const baseOf = (path: string): string => path.split('/').at(-1) ?? path;

/** A fleet with one fault has one sentence, not a hundred. */
const listed = (names: readonly string[]): string =>
  names.length <= 5 ? names.join(', ') : `${names.slice(0, 5).join(', ')} and ${names.length - 5} more`;
