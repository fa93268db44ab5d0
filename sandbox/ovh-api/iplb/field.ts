import { isIPv4 } from 'node:net';

import { badRequest, type ApiError } from '../api-error.js';
import { isObject, shownAs, type Json, type JsonObject } from '../json.js';

/** What the API takes for one field of an object. */
export interface Field {
  /** As the API's description names it. */
  readonly type: string;
  readonly accepts: (value: Json) => boolean;
  /** What a refused value is told, where it is not the usual sentence. */
  readonly complaint?: (name: string, value: Json) => string;
  readonly isNullable: boolean;
  /** Must be there on creation. */
  readonly isRequired: boolean;
  /** Fixed on creation; the value that it has may be sent again. */
  readonly isFixed: boolean;
  /** What it is when left out on creation. */
  readonly initial: Json;
}

function field(type: string, accepts: Field['accepts'], complaint?: Field['complaint']): Field {
  return {
    type,
    accepts,
    isNullable: true,
    isRequired: false,
    isFixed: false,
    initial: null,
    ...(complaint && { complaint }),
  };
}

export const required = (base: Field): Field => ({ ...base, isRequired: true, isNullable: false });
export const fixed = (base: Field): Field => ({ ...base, isFixed: true });
export const initially = (value: Json, base: Field): Field => ({ ...base, initial: value });

export const text = field('string', (value) => typeof value === 'string');
export const longText = (limit: number): Field =>
  field('string', (value) => typeof value === 'string' && value.length <= limit);
export const flag: Field = {
  ...field('boolean', (value) => typeof value === 'boolean'),
  isNullable: false,
  initial: false,
};
export const whole = (from: number, to: number): Field =>
  field('long', (value) => Number.isInteger(value) && Number(value) >= from && Number(value) <= to);
export const portNumber: Field = { ...whole(1, 49_151), type: 'port' };
export const ipv4 = field('ipv4', (value) => typeof value === 'string' && isIPv4(value));

export const oneOf = (enumeration: string, ...values: readonly string[]): Field =>
  field(
    enumeration,
    (value) => typeof value === 'string' && values.includes(value),
    (name, value) =>
      `[${name}] Given data (${shownAs(value)}) does not belong to the ${enumeration} enumeration`,
  );

export const listOf = (type: string, accepts: (value: string) => boolean): Field => ({
  ...field(
    type,
    (value) => Array.isArray(value) && value.every((one) => typeof one === 'string' && accepts(one)),
    (name, value) =>
      Array.isArray(value)
        ? unfit(
            name,
            value.find((one) => typeof one !== 'string' || !accepts(one)),
            type,
          )
        : `[${name}] ${type} Data is not an array for an array type`,
  ),
  isNullable: false,
  initial: [],
});

export const isIpBlock = (value: string): boolean => {
  const [address = '', bits] = value.split('/');
  return isIPv4(address) && (bits === undefined || (/^\d+$/.test(bits) && Number(bits) <= 32));
};

/** One port, an increasing range or a comma list of both. */
export const portList = field(
  'string',
  (value) => typeof value === 'string' && value.split(',').every(isPortOrRange),
);

function isPortOrRange(part: string): boolean {
  const found = /^(\d+)(?:-(\d+))?$/.exec(part.trim());
  if (found === null) return false;
  const from = Number(found[1]);
  const to = Number(found[2] ?? found[1]);
  return from >= 1 && to <= 49_151 && from <= to;
}

/** Another kind of object inside an object, with its own fields. Null where there is none. */
export const record = (type: string, fields: Readonly<Record<string, Field>>): Field =>
  field(
    type,
    (value) => isObject(value) && firstComplaint(fields, value) === undefined,
    (name, value) =>
      isObject(value)
        ? (firstComplaint(fields, value) ?? unfit(name, value, type))
        : unfit(name, value, type),
  );

/** Throws for the first field of `given` that cannot have its value. */
export function requireFit(fields: Readonly<Record<string, Field>>, given: JsonObject): void {
  const complaint = firstComplaint(fields, given);
  if (complaint !== undefined) throw badRequest(complaint);
}

export function requireAll(fields: Readonly<Record<string, Field>>, given: JsonObject): void {
  const missing = Object.keys(fields).find((name) => fields[name]!.isRequired && given[name] === undefined);
  if (missing !== undefined) throw badRequest(`[${missing}] Missing parameter`);
}

/** What the API answers for keys that it does not know. */
export function undescribed(names: readonly string[], verb: 'creation' | 'edition'): ApiError {
  return badRequest(`Received not described parameters: (${names.join(', ')}) while calling ${verb} handler`);
}

function firstComplaint(fields: Readonly<Record<string, Field>>, given: JsonObject): string | undefined {
  for (const [name, value] of Object.entries(given)) {
    const known = fields[name];
    if (known === undefined || (value === null && known.isNullable) || known.accepts(value)) continue;
    return known.complaint?.(name, value) ?? unfit(name, value, known.type);
  }
  return undefined;
}

const unfit = (name: string, value: Json | undefined, type: string): string =>
  `[${name}] Given data (${shownAs(value)}) is not valid for type ${type}`;
