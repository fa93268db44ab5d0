import { hashOf } from '../../domain/hash.js';
import type { ServiceId } from '../../domain/names.js';
import type { Time } from '../../ovh/time.js';

export interface ProvisionerOptions {
  /** A write whose answer was lost may still be carried out this much later. */
  readonly graceMs?: number;
  readonly time?: Time;
}

export const usualGraceMs = 30_000;
/** For so long the API may not know what it has just created. */
export const newForMs = 30_000;
export const newEveryMs = 500;

/** Creates what a service needs on one load balancer that exists. Never edits, renames or deletes anything. */
export interface Provisioner {
  /** For people: the load balancer. */
  readonly name: string;
  /** Looks, and plans. Changes nothing. */
  survey(): Promise<Survey>;
}

/** What has to be created on a load balancer as it is. */
export interface Survey {
  /** What the steps are together, in words. */
  readonly title: string;
  /** What would be created, in words and in order. */
  readonly steps: readonly string[];
  /** What people should know and nobody but they may change. */
  readonly notes: readonly string[];
  /** Why nothing of this may be done. */
  readonly refusals: readonly string[];
  /** Edits of somebody, or of an earlier run, that would be published with it. */
  readonly staged: readonly string[];
  /** Carries it out. What is `staged` is published only where that is asked for. */
  apply(publishStaged: boolean, say: Say): Promise<Provisioned>;
}

export type Say = (what: string) => void;

export interface Provisioned {
  /** All that the configuration can name now, created or found. */
  readonly named: readonly Named[];
  /** Names of the objects that were created. */
  readonly created: readonly string[];
}

/** An object, and the key below `loadBalancer` that names it. */
export interface Named {
  readonly path: EntrancePath;
  readonly id: number | string | readonly string[];
}

/** Where a key stands below `loadBalancer`. */
export type EntrancePath = readonly (string | number)[];

/** As configurations write it: `loadBalancer.also[0].farms.blue`. */
export const keyWords = (path: EntrancePath): string =>
  path.reduce<string>(
    (words, key) => (typeof key === 'number' ? `${words}[${key}]` : `${words}.${key}`),
    'loadBalancer',
  );

/** Objects of ours are recognised by their name, whatever their number. */
export function markerOf(service: ServiceId, role: string): string {
  const markers = [
    `verdigris:${service}:${role}`,
    `verdigris:${hashOf(service).slice(0, 16)}:${role}`,
    `verdigris:${hashOf({ service, role }).slice(0, 40)}`,
  ];
  // Longer ones are not sure to be kept whole.
  return markers.find((marker) => marker.length <= 50) ?? '';
}

/** Whether what was asked for is there; the API may have added to it. */
export function isKept(wanted: unknown, is: unknown): boolean {
  if (Array.isArray(wanted))
    return Array.isArray(is) && wanted.length === is.length && wanted.every((one) => is.includes(one));
  if (typeof wanted !== 'object' || wanted === null) return wanted === is;
  return (
    typeof is === 'object' &&
    is !== null &&
    Object.entries(wanted).every(([key, value]) => isKept(value, (is as Record<string, unknown>)[key]))
  );
}
