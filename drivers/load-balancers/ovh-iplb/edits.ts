import { otherColor, type Color } from '../../../domain/color.js';
import { wholly } from '../../../domain/split.js';
import { weightsFor, type PerColor } from '../../../domain/weights.js';
import type { OvhApi } from '../../../ovh/api.js';
import { OvhError } from '../../../ovh/error.js';
import type { Time } from '../../../ovh/time.js';
import { z } from 'zod';
import { activityOf } from '../activity.js';
import type { RouteChange } from '../driver.js';
import { backupOf } from './backups.js';
import type { Configuration } from './configuration.js';
import { countsOf } from './division.js';
import type { Route } from './documents.js';
import { roleFor, type Entry, type FarmRole } from './entry.js';
import { actionTo, testersRoute } from './routes.js';
import { readAs } from '../ovh-document.js';
import type { View } from './view.js';

/** One field of one object as it shall be. */
export interface Edit extends Goal {
  /** What it was before; put back when the change is given up. */
  readonly before: Value | null;
}

interface Goal {
  readonly object: string;
  readonly field: 'action' | 'defaultFarmId' | 'status' | 'weight';
  readonly value: Value;
}

type Value = number | string | Readonly<Record<string, unknown>>;

/**
 * What has to be stored so that new traffic follows the change and the idle environment is probed. Empty when it is so already.
 * Production frontends come first, and those for probes last: by them a successor tells that a change was begun.
 */
export function editsFor(change: RouteChange, configuration: Configuration, view: View): readonly Edit[] {
  const goals = [
    ...view.entries.flatMap((entry) => frontendGoals(entry, roleFor(change.to))),
    ...view.entries.flatMap((entry) => serverGoals(entry, change, configuration, view)),
    ...testersGoals(change, configuration, view),
    ...view.entries.flatMap((entry) => probingGoals(entry, change)),
  ];
  return goals.flatMap((goal): readonly Edit[] => {
    const before = valueIn(configuration, goal);
    return isSame(goal.value, before) ? [] : [{ ...goal, before: before ?? null }];
  });
}

/** The weights of a mixed farm for a divided change, the servers that it leaves out not counted. */
export const weightsOf = ({ to, leaveOut }: RouteChange, { servers }: View): PerColor | undefined =>
  weightsFor(to, countsOf(servers.filter(({ name }) => !leaveOut.includes(name))));

const frontendGoals = (entry: Entry, role: FarmRole): readonly Goal[] =>
  entry.frontends.map((object) => pointing(object, entry, role));

/** Whatever no production frontend points at is referenced by one without traffic, so that all of it is probed. */
function probingGoals(entry: Entry, { to }: RouteChange): readonly Goal[] {
  const color = wholly(to);
  const lesser: Color = to.green <= to.blue ? 'green' : 'blue';
  const { staging, mixedStaging } = entry;
  return [
    pointing(staging, entry, color === undefined ? lesser : otherColor(color)),
    ...(mixedStaging === undefined
      ? []
      : [pointing(mixedStaging, entry, color === undefined ? otherColor(lesser) : 'mixed')]),
  ];
}

const pointing = (object: string, entry: Entry, role: FarmRole): Goal => ({
  object,
  field: 'defaultFarmId',
  value: entry.farmId(role),
});

function serverGoals(
  entry: Entry,
  change: RouteChange,
  configuration: Configuration,
  view: View,
): readonly Goal[] {
  const color = wholly(change.to);
  const weights = color === undefined ? weightsOf(change, view) : undefined;
  return view.servers.flatMap((server): readonly Goal[] => {
    const activity = activityOf(server, change);
    const own = entry.roles
      .filter((role) => role === server.color || role === 'mixed')
      .flatMap((role) => entry.member(server, role, configuration)?.[0] ?? []);
    const [mixed] = (entry.roles.includes('mixed') && entry.member(server, 'mixed', configuration)) || [];
    const [backup, object] = backupOf(entry, server, configuration) ?? [];
    const standsBy = change.fallback === true && color !== undefined && color !== server.color;
    return [
      ...(activity === undefined ? [] : own.map((name) => statusOf(name, activity))),
      ...(mixed === undefined || !weights
        ? []
        : [{ object: mixed, field: 'weight', value: weights[server.color] } as const]),
      ...(backup === undefined || object?.['backup'] !== true
        ? []
        : [statusOf(backup, standsBy && !change.leaveOut.includes(server.name) ? 'active' : 'inactive')]),
    ];
  });
}

const statusOf = (object: string, value: 'active' | 'inactive'): Goal => ({ object, field: 'status', value });

/** Closed, the testers' route leads to where everybody is. */
function testersGoals(change: RouteChange, { routes }: Configuration, view: View): readonly Goal[] {
  const { testers } = view.settings;
  const [entry] = view.entries;
  const object = testers && testersRoute(entry, testers);
  if (object === undefined || !routes.has(object)) return [];
  const color = wholly(change.to);
  const role = change.testers === true && color !== undefined ? otherColor(color) : roleFor(change.to);
  return [{ object, field: 'action', value: actionTo(entry.farmId(role)) }];
}

function valueIn({ frontends, servers, routes }: Configuration, { object, field }: Goal): Value | undefined {
  const found: Readonly<Record<string, unknown>> | undefined =
    frontends.get(object) ?? servers.get(object) ?? routes.get(object);
  // A weight that nobody has set counts as one.
  const value = found?.[field] ?? (found && field === 'weight' ? 1 : undefined);
  return field === 'action' ? actionIn(value as Route['action'] | undefined) : (value as Value | undefined);
}

/** The configuration as it is once these are stored, and nothing else. */
export function withEdits(configuration: Configuration, edits: readonly Edit[]): Configuration {
  const frontends = new Map(configuration.frontends);
  const servers = new Map(configuration.servers);
  const routes = new Map(configuration.routes);
  const kinds = [frontends, servers, routes] as readonly Map<string, object>[];
  for (const { object, field, value } of edits) {
    const kind = kinds.find((objects) => objects.has(object));
    const before = (kind?.get(object) ?? {}) as Readonly<Record<string, unknown>>;
    const whole = typeof value === 'object' ? { ...(before[field] as object), ...value } : value;
    kind?.set(object, { ...before, [field]: whole });
  }
  return { ...configuration, frontends, servers, routes };
}

/** As it can be written again. */
const actionIn = (action: Route['action'] | undefined): Value | undefined =>
  action && Object.fromEntries(Object.entries(action).filter(([, value]) => value !== null));

/** Whether what was written is there; the API may have added to it. */
function isSame(wanted: Value | null, is: unknown): boolean {
  if (typeof wanted !== 'object' || wanted === null) return wanted === (is ?? null);
  if (typeof is !== 'object' || is === null) return false;
  return Object.entries(wanted).every(([key, value]) => (is as Record<string, unknown>)[key] === value);
}

const attempts = 5;
const firstBackOffMs = 200;

/** Stores edits, one at a time, and takes them back. Storing publishes nothing. */
export class Editor {
  readonly #api: OvhApi;
  readonly #root: string;
  readonly #time: Time;

  constructor(api: OvhApi, root: string, time: Time) {
    this.#time = time;
    this.#api = api;
    this.#root = root;
  }

  /** Stores one edit. An answer that was lost is looked for in the object itself. */
  async store(edit: Goal | Reversal, signal?: AbortSignal): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#api.put(`${this.#root}/${edit.object}`, { [edit.field]: edit.value });
        return;
      } catch (error) {
        if (!(error instanceof OvhError) || !error.passing || attempt >= attempts) throw error;
        if (error.ambiguous && (await this.#holds(edit, signal))) return;
        const backOffMs = firstBackOffMs * 2 ** (attempt - 1) * (0.5 + Math.random());
        await this.#time.sleep(Math.max(backOffMs, error.retryAfterMs ?? 0), signal);
      }
    }
  }

  /** Puts back what these edits changed, newest first, where it still is as they left it. Tells whether anything was. */
  async takeBack(edits: readonly Edit[]): Promise<boolean> {
    let anything = false;
    for (const edit of edits.toReversed()) {
      if (!(await this.#holds(edit))) continue;
      const reversal = { object: edit.object, field: edit.field, value: edit.before };
      await this.store(reversal);
      if (!(await this.#holds(reversal))) {
        throw new Error(`${edit.object} was changed again while it was put back`);
      }
      anything = true;
    }
    return anything;
  }

  async #holds({ object, field, value }: Reversal, signal?: AbortSignal): Promise<boolean> {
    const options = signal ? { signal } : {};
    const now = await readAs(this.#api, `${this.#root}/${object}`, z.looseObject({}), options);
    return isSame(value, now[field]);
  }
}

type Reversal = Omit<Goal, 'value'> & Readonly<Record<'value', Value | null>>;
