import type { KnownKeys } from './complaints.js';
import { isRecord } from './documents.js';

/** The keys that a JSON schema knows in each map of `value`: where one of several kinds may stand, those of the kind that was meant. */
export const knownKeysIn =
  (wholeSchema: unknown, value: unknown): KnownKeys =>
  (path) => {
    let schema = wholeSchema;
    let raw = value;
    for (const step of path) {
      schema = meantSchema(schema, raw);
      if (!isRecord(schema)) return undefined;
      schema = typeof step === 'number' ? schema['items'] : memberOf(schema, String(step));
      raw = isRecord(raw) || Array.isArray(raw) ? (raw as Record<PropertyKey, unknown>)[step] : undefined;
    }
    schema = meantSchema(schema, raw);
    if (!isRecord(schema)) return undefined;
    const { properties, propertyNames } = schema;
    if (isRecord(properties)) return Object.keys(properties);
    return isRecord(propertyNames) ? (propertyNames['enum'] as readonly string[] | undefined) : undefined;
  };

/** Where people choose the names, all members are alike. */
const memberOf = ({ properties, additionalProperties }: Record<string, unknown>, key: string): unknown =>
  isRecord(properties) ? properties[key] : additionalProperties;

function meantSchema(schema: unknown, raw: unknown): unknown {
  if (!isRecord(schema) || 'properties' in schema || !Array.isArray(schema['oneOf'])) return schema;
  const options = schema['oneOf'].filter(isRecord);
  const driverOf = ({ properties }: Readonly<Record<string, unknown>>): unknown =>
    isRecord(properties) && isRecord(properties['driver']) ? properties['driver']['const'] : undefined;
  const driver = isRecord(raw) ? raw['driver'] : undefined;
  return options.find((option) => driverOf(option) === driver) ?? options[0];
}
