/** What was read from an ELF file of the artifact: its program, or a shared library that it brings along. */
export interface Binary {
  /** Relative to the artifact's root. */
  readonly path: string;
  /** Other paths by which links inside the artifact lead to it. */
  readonly links: readonly string[];
  readonly machine: Machine;
  /** The loader that it asks for; a library and a static program ask for none. */
  readonly interpreter?: string;
  /** Shared libraries by the names that the loader looks for. */
  readonly needed: readonly string[];
  /** Where the loader looks first, as written (`$ORIGIN/../lib`). `rpath` counts only without a `runpath`. */
  readonly rpath: readonly string[];
  readonly runpath: readonly string[];
  /** The highest version of each family that it needs of each library. */
  readonly versions: readonly VersionNeed[];
  /** The highest version of each family that it offers to others. */
  readonly offers: readonly string[];
  readonly buildId?: string;
  readonly hardening: Hardening;
}

export type Machine = 'x86-64' | 'aarch64';

/** `GLIBC_2.38` of `libc.so.6`, because of `__isoc23_strtol`. */
export interface VersionNeed {
  readonly library: string;
  readonly version: string;
  /** One symbol that needs it. */
  readonly symbol?: string;
}

export interface Hardening {
  readonly positionIndependent: boolean;
  readonly relro: 'full' | 'partial' | 'none';
  readonly executableStack: boolean;
  /** Whether anything in it checks its stack; `unknown` where nothing imported could tell (a static program). */
  readonly stackProtector: boolean | 'unknown';
}

export type VersionFamily = 'GLIBC' | 'GLIBCXX' | 'CXXABI';

export interface FamilyVersion {
  readonly family: VersionFamily;
  /** `2.38` */
  readonly number: string;
}

/** A version that is ordered within its family; `undefined` for names such as `GLIBC_PRIVATE`. */
export function familyVersion(version: string): FamilyVersion | undefined {
  const implied = impliedVersions[version];
  if (implied !== undefined) return { family: 'GLIBC', number: implied };
  const [, family, number] = /^(GLIBC|GLIBCXX|CXXABI)_(\d{1,5}(?:\.\d{1,5}){0,4})$/.exec(version) ?? [];
  return family === undefined || number === undefined
    ? undefined
    : { family: family as VersionFamily, number };
}

/** Marks that linkers put in for what only a loader from some version on understands. */
const impliedVersions: Readonly<Record<string, string>> = { GLIBC_ABI_DT_RELR: '2.36' };

/** Negative when `one` is the lower of two numbers such as `2.9` and `2.36`. */
export function compareVersions(one: string, other: string): number {
  const [a, b] = [one, other].map((number) => number.split('.').map(Number)) as [number[], number[]];
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The highest of each family among versions of any; what has no family is left out. */
export function highestOfEach<Item>(
  items: readonly Item[],
  versionOf: (item: Item) => string,
): readonly Item[] {
  const highest = new Map<VersionFamily, { readonly item: Item; readonly number: string }>();
  for (const item of items) {
    const version = familyVersion(versionOf(item));
    if (!version) continue;
    const known = highest.get(version.family);
    if (!known || compareVersions(version.number, known.number) > 0) {
      highest.set(version.family, { item, number: version.number });
    }
  }
  return [...highest.values()].map(({ item }) => item);
}

/** What a binary lacks that makes attacks harder, each with the flag that adds it. */
export function hardeningGaps({ hardening, interpreter, path }: Binary): readonly string[] {
  const { positionIndependent, relro, executableStack, stackProtector } = hardening;
  const gaps: readonly (readonly [boolean, string])[] = [
    [!positionIndependent, 'is loaded at a fixed address (-fPIE -pie)'],
    [
      (interpreter !== undefined || path.includes('.so')) && relro !== 'full',
      relro === 'none' ? 'has no RELRO (-Wl,-z,relro,-z,now)' : 'has only partial RELRO (-Wl,-z,now)',
    ],
    [executableStack, 'has an executable stack (-Wl,-z,noexecstack)'],
    [stackProtector === false, 'shows no stack protector (-fstack-protector-strong)'],
  ];
  return gaps.filter(([missing]) => missing).map(([, words]) => words);
}

/** `x86-64, needs GLIBC_2.34, build 3f9c2a1b…, hardened`: a binary in one line. */
export function describeBinary(binary: Binary): string {
  const { path, machine, interpreter, versions, buildId } = binary;
  const needs = highestOfEach(versions, ({ version }) => version).map(({ version }) => version);
  const gaps = hardeningGaps(binary);
  return [
    `${path}: ${machine}`,
    interpreter === undefined && !path.includes('.so') ? 'static' : undefined,
    needs.length > 0 ? `needs ${needs.join(', ')}` : undefined,
    buildId === undefined ? undefined : `build id ${buildId.slice(0, 12)}`,
    gaps.length === 0 ? 'hardened' : gaps.join(', '),
  ]
    .filter(Boolean)
    .join(', ');
}
