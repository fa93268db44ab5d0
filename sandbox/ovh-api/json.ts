export type Json = null | boolean | number | string | readonly Json[] | JsonObject;

export interface JsonObject {
  readonly [key: string]: Json;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The string, or null for anything else. */
export const textOf = (value: Json | undefined): string | null => (typeof value === 'string' ? value : null);

/** The number, or null for anything else. */
export const numberOf = (value: Json | undefined): number | null =>
  typeof value === 'number' ? value : null;

/** The strings of a list; none for anything else. */
export const textsOf = (value: Json | undefined): readonly string[] =>
  Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];

/** How a value is named to whoever sent it: strings bare, everything else as JSON. */
export const shownAs = (value: Json | undefined): string =>
  typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing');

/** What the bytes of a body say, or `undefined` where they are no JSON. */
export function jsonIn(body: unknown): unknown {
  try {
    return Buffer.isBuffer(body) ? JSON.parse(body.toString('utf8')) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
