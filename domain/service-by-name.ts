import type { ServiceId } from './names.js';
import type { Service } from './service.js';

// A run is started with its whole service, and its steps only name it: their inputs would be as long as the service has servers, and a
// history has an end.

/** The service that a run was started with: its input is one, or has one. Nothing for a run that belongs to none. */
export function serviceIn(startInput: unknown): Service | undefined {
  if (isService(startInput)) return startInput;
  return isRecord(startInput) && isService(startInput['service']) ? startInput['service'] : undefined;
}

/** A step's input as its event holds it: with the id of `own` in its place. Any other service stays whole. */
export const namingIts = (own: Service | undefined, input: unknown): unknown =>
  own !== undefined && isRecord(input) && input['service'] === own ? { ...input, service: own.id } : input;

/** The service that a step's input only names. */
export const namedIn = (input: unknown): ServiceId | undefined =>
  isRecord(input) && typeof input['service'] === 'string' ? (input['service'] as ServiceId) : undefined;

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;

const isService = (value: unknown): value is Service =>
  isRecord(value) && typeof value['id'] === 'string' && isRecord(value['environments']);
