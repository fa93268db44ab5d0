import { isRecord } from '../../configuration/documents.js';

type Section = Readonly<Record<string, unknown>>;

/** Ids that stand where a configuration names nothing yet, each another one: objects are told apart. No load balancer has them. */
class Unnamed {
  #count = 0;

  number(): number {
    return firstNumber + this.#count++;
  }

  uuid(): string {
    return uuidPrefix + String(this.#count++).padStart(12, '0');
  }
}

const firstNumber = 2_000_000_000;
const uuidPrefix = '00000000-0000-0000-0000-';

/** Whether an id stands only where none is named. */
export const isUnnamed = (id: number | string): boolean =>
  typeof id === 'number' ? id >= firstNumber && id < firstNumber + 10_000 : id.startsWith(uuidPrefix);

/** The id, where one is named. */
export const namedOnly = <Id extends number | string>(id: Id | undefined): Id | undefined =>
  id === undefined || isUnnamed(id) ? undefined : id;

/** What a Public Cloud Load Balancer is known by, where it is not known at all. */
export const unknownBalancer: Section = {
  region: 'NONE',
  id: `${uuidPrefix}${'9'.repeat(12)}`,
  listeners: [`${uuidPrefix}${'8'.repeat(12)}`],
};

/** The same configuration with every object named that can be created; `known` is what stands for the rest of a section. */
export function withoutIds(value: unknown, known: Section = {}): unknown {
  if (!isRecord(value)) return value;
  const unnamed = new Unnamed();
  const filled = (holder: Section): Section =>
    isRecord(holder['loadBalancer'])
      ? { ...holder, loadBalancer: filledSection(holder['loadBalancer'], unnamed, known) }
      : holder;
  const regions: unknown = value['regions'];
  return {
    ...filled(value),
    ...(Array.isArray(regions)
      ? { regions: regions.map((region: unknown) => (isRecord(region) ? filled(region) : region)) }
      : {}),
  };
}

function filledSection(section: Section, unnamed: Unnamed, known: Section): Section {
  if (section['driver'] === 'ovh-public-cloud') {
    const { pools, mixed, ...rest } = section;
    return {
      ...known,
      ...rest,
      pools: over({ blue: unnamed.uuid(), green: unnamed.uuid() }, pools ?? {}),
      ...('mixed' in section ? { mixed: over({ pools: [unnamed.uuid()] }, mixed) } : {}),
    };
  }
  const { testers, also, ...rest } = section;
  return {
    ...filledEntry(rest, unnamed),
    ...('testers' in section ? { testers: over({ route: unnamed.number() }, testers) } : {}),
    ...(Array.isArray(also)
      ? { also: also.map((entry: unknown) => (isRecord(entry) ? filledEntry(entry, unnamed) : entry)) }
      : 'also' in section
        ? { also }
        : {}),
  };
}

function filledEntry(entry: Section, unnamed: Unnamed): Section {
  const { farms, mixed, ...rest } = entry;
  const number = () => unnamed.number();
  return {
    stagingFrontend: number(),
    ...rest,
    farms: over({ blue: number(), green: number() }, farms ?? {}),
    ...('mixed' in entry ? { mixed: over({ farm: number(), stagingFrontend: number() }, mixed) } : {}),
  };
}

/** What is written wins; what is no map stays to be complained of. */
const over = (standing: Section, written: unknown): unknown =>
  isRecord(written) ? { ...standing, ...written } : written;
