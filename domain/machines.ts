import { colors, type Color } from './color.js';
import type { Complaint } from './failures.js';
import type { ServerName } from './names.js';
import type { OvhProduct, Service } from './service.js';

/** One machine as OVHcloud sees it, for each server that names its product. */
export type MachineObservation = {
  readonly server: ServerName;
  readonly color: Color;
  readonly product: OvhProduct;
} & (
  | { readonly kind: 'seen'; readonly machine: MachineFacts }
  /** Not allowed to look, not there, or no answer: in words. */
  | { readonly kind: 'not seen'; readonly because: string }
);

/** What OVHcloud tells of a machine. Times are epoch milliseconds. */
export interface MachineFacts {
  /** For people: `ok, powered on`, `running`, `ACTIVE`. */
  readonly state: string;
  readonly healthy: boolean;
  readonly size: MachineSize;
  /** Interventions of the provider that are not over. */
  readonly interventions: readonly Intervention[];
  /** When the contract ends, unless it is renewed by itself. */
  readonly endsAtMs?: number;
  /** What else the contract says: `unPaid`, `expired`. */
  readonly contract?: string;
  readonly seenAtMs: number;
  /** Of what could not be looked at: the rule that would allow it, or the reason. */
  readonly unknown: readonly string[];
}

export interface MachineSize {
  /** Cores of all processors; of a VPS or an instance, virtual ones. */
  readonly cores?: number;
  readonly memoryMb?: number;
  /** For people: `b3-8`, `vps-elite-8-16-320`, `Xeon-E3 1270 v6`. */
  readonly model?: string;
  /** Data centre or region. */
  readonly place?: string;
}

export interface Intervention {
  readonly type: string;
  readonly beginsAtMs: number;
  readonly endsAtMs?: number;
}

/** Why OVHcloud's view of the machines speaks against a deployment, where the configuration says that it shall. */
export function complaintsAboutMachines(
  service: Service,
  machines: readonly MachineObservation[],
): readonly Complaint[] {
  const complaints: Complaint[] = [];
  const { unhealthy, unequal } =
    machines.length > 0 ? service.machines : { unhealthy: 'warn', unequal: 'warn' };
  if (unhealthy === 'refuse') {
    const faults = faultLines(service, machines);
    if (faults.length > 0) complaints.push(complaint('MachineUnhealthy', service, faults, 'unhealthy'));
  }
  if (unequal === 'refuse') {
    const differences = differenceLines(machines);
    if (differences.length > 0) {
      complaints.push(complaint('EnvironmentsUnequal', service, differences, 'unequal'));
    }
  }
  return complaints;
}

/** What people should know of the machines: what speaks against them and is not refused, and what could not be seen. */
export function warningsAboutMachines(
  service: Service,
  machines: readonly MachineObservation[],
): readonly string[] {
  return [
    ...faultLines(service, machines),
    ...differenceLines(machines),
    ...machines.flatMap((seen) =>
      seen.kind === 'not seen'
        ? [`${seen.server}: OVHcloud's view of it is not known: ${seen.because}`]
        : seen.machine.unknown.map((what) => `${seen.server}: ${what}`),
    ),
  ];
}

/** Each machine in one line. */
export const describeMachines = (machines: readonly MachineObservation[]): readonly string[] =>
  machines.map((seen) => `${seen.server} is ${describeMachine(seen)}`);

export function describeMachine(seen: MachineObservation): string {
  const name = describeProduct(seen.product);
  if (seen.kind === 'not seen') return `${name}, of which OVHcloud tells nothing: ${seen.because}`;
  const { state, size } = seen.machine;
  return [name, state, describeSize(size), size.place].filter(Boolean).join(', ');
}

/** `dedicated server ns3012345.ip-192-0-2.eu` */
export function describeProduct(product: OvhProduct): string {
  switch (product.kind) {
    case 'dedicated server':
    case 'vps':
      return `${product.kind === 'vps' ? 'VPS' : 'dedicated server'} ${product.name}`;
    case 'instance':
      return `instance ${product.id}`;
    default:
      throw new TypeError(`Cannot describe "${JSON.stringify(product satisfies never)}"`);
  }
}

function complaint(
  failure: 'MachineUnhealthy' | 'EnvironmentsUnequal',
  { id }: Service,
  lines: readonly string[],
  key: 'unhealthy' | 'unequal',
): Complaint {
  const found =
    failure === 'MachineUnhealthy'
      ? 'OVHcloud finds fault with its machines, needs healthy ones'
      : 'blue and green are of unequal size, needs the same';
  return {
    failure,
    message: [
      `Cannot deploy "${id}": ${found}`,
      ...lines,
      `look at it in the control panel; to be warned only: machines.${key}: warn`,
    ].join('\n  '),
  };
}

/** A machine that carries several servers has its faults told once. */
function faultLines(service: Service, machines: readonly MachineObservation[]): readonly string[] {
  const byMachine = new Map<string, { readonly servers: string[]; readonly faults: readonly string[] }>();
  for (const seen of machines) {
    if (seen.kind === 'not seen') continue;
    const known = byMachine.get(describeProduct(seen.product));
    if (known) known.servers.push(seen.server);
    else {
      const faults = faultsOf(seen.machine, deploymentMs(service));
      byMachine.set(describeProduct(seen.product), { servers: [seen.server], faults });
    }
  }
  return [...byMachine].flatMap(([name, { servers, faults }]) =>
    faults.map((fault) => `${servers.join(', ')} (${name}) ${fault}`),
  );
}

/** What is wrong with a machine for a deployment that may take as long as given. */
function faultsOf(
  { state, healthy, interventions, endsAtMs, contract, seenAtMs }: MachineFacts,
  withinMs: number,
): readonly string[] {
  const until = seenAtMs + withinMs;
  return [
    ...(healthy ? [] : [`is not well: ${state}`]),
    ...interventions
      .filter(({ beginsAtMs, endsAtMs: ends }) => beginsAtMs <= until && (ends ?? Infinity) >= seenAtMs)
      .map(
        ({ type, beginsAtMs }) =>
          `has an intervention of OVHcloud (${type}) from ${day(beginsAtMs)}, in the time that this deployment may take`,
      ),
    ...(contract === undefined ? [] : [`has a contract that is "${contract}"`]),
    ...(endsAtMs !== undefined && endsAtMs <= until + warnBeforeEndMs
      ? [`is yours until ${day(endsAtMs)} and is not renewed by itself`]
      : []),
  ];
}

/** A deployment waits for people first, and bakes then. */
const deploymentMs = ({ approve, bake }: Service): number => approve.timeoutMs + bake.durationMs;

/** The way back has to outlive the deployment. */
const warnBeforeEndMs = 7 * 24 * 3_600_000;

/** What blue has that green has not, and the other way round. Says nothing unless all machines of both are known. */
function differenceLines(machines: readonly MachineObservation[]): readonly string[] {
  const [blue, green] = colors.map((color) => sizesOf(color, machines));
  if (!blue || !green || blue.length === 0 || green.length === 0) return [];
  if (JSON.stringify(blue) === JSON.stringify(green)) return [];
  return [`blue has ${inWords(blue)}`, `green has ${inWords(green)}`];
}

/** Undefined where one of them could not be seen. */
function sizesOf(color: Color, machines: readonly MachineObservation[]): readonly string[] | undefined {
  const own = machines.filter((seen) => seen.color === color);
  const sizes = own.flatMap((seen) =>
    seen.kind === 'seen' && seen.machine.size.cores !== undefined && seen.machine.size.memoryMb !== undefined
      ? [capacity(seen.machine.size)]
      : [],
  );
  return sizes.length === own.length ? sizes.toSorted() : undefined;
}

function inWords(sizes: readonly string[]): string {
  const kinds = [...new Set(sizes)];
  return kinds.map((kind) => `${sizes.filter((size) => size === kind).length} x ${kind}`).join(', ');
}

const describeSize = (size: MachineSize): string =>
  [size.model, size.cores === undefined ? undefined : capacity(size)].filter(Boolean).join(', ');

const capacity = ({ cores = 0, memoryMb = 0 }: MachineSize): string =>
  `${cores} cores with ${Math.round(memoryMb / 102.4) / 10} GB`;

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 16).replace('T', ' ') + ' UTC';
