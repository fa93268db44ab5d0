import { otherColor, type Color } from '../../../domain/color.js';
import type { OvhIplbSettings, Server } from '../../../domain/service.js';
import type { OvhApi } from '../../../ovh/api.js';
import { OvhError } from '../../../ovh/error.js';
import type { Time } from '../../../ovh/time.js';
import { z } from 'zod';
import { activityOf } from '../activity.js';
import type { RouteChange } from '../driver.js';
import { readAs, type Configuration } from './configuration.js';
import type { View } from './view.js';

/** One field of one object as it shall be. */
export interface Edit {
  readonly object: string;
  readonly field: 'defaultFarmId' | 'status';
  readonly value: number | string;
  /** What it was before; put back when the change is given up. */
  readonly before: number | string | null;
}

/**
 * What has to be stored so that `color` is live and the other one is probed. Empty when it is so already. Production
 * frontends come first: by them a successor tells that a change was begun.
 */
export function editsFor(
  color: Color,
  change: RouteChange,
  configuration: Configuration,
  { settings, servers, view }: { settings: OvhIplbSettings; servers: readonly Server[]; view: View },
): readonly Edit[] {
  const pointed = (id: number, to: Color): Edit => {
    const object = view.frontendName(id);
    const before = configuration.frontends.get(object)?.defaultFarmId ?? null;
    return { object, field: 'defaultFarmId', value: settings.farms[to], before };
  };
  const activity = servers.flatMap((server): readonly Edit[] => {
    const [object, backend] = view.backendOf(server, configuration) ?? [];
    const value = activityOf(server, change);
    if (value === undefined || object === undefined || !backend) return [];
    return [{ object, field: 'status', value, before: backend.status }];
  });
  return [
    ...settings.frontends.map((id) => pointed(id, color)),
    ...activity,
    pointed(settings.stagingFrontend, otherColor(color)),
  ].filter(({ value, before }) => value !== before);
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
  async store(
    edit: Pick<Edit, 'object' | 'field' | 'value'> | Reversal,
    signal?: AbortSignal,
  ): Promise<void> {
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

  /** Puts back what these edits changed, newest first, where it still is as they left it. */
  async takeBack(edits: readonly Edit[]): Promise<void> {
    for (const edit of edits.toReversed()) {
      if (!(await this.#holds(edit))) continue;
      const reversal = { object: edit.object, field: edit.field, value: edit.before };
      await this.store(reversal);
      if (!(await this.#holds(reversal))) {
        throw new Error(`${edit.object} was changed again while it was put back`);
      }
    }
  }

  async #holds({ object, field, value }: Reversal, signal?: AbortSignal): Promise<boolean> {
    const options = signal ? { signal } : {};
    const now = await readAs(this.#api, `${this.#root}/${object}`, z.looseObject({}), options);
    return (now[field] ?? null) === value;
  }
}

type Reversal = Pick<Edit, 'object' | 'field'> & { readonly value: number | string | null };
