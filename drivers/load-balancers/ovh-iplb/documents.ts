import { z } from 'zod';

/**
 * What the driver reads in the API's documents. Unknown fields are kept: they belong to an object's digest, and the
 * API grows.
 */
const id = z.int().positive();

export const Frontend = z.looseObject({
  defaultFarmId: id.nullish(),
  zone: z.string(),
  disabled: z.boolean().nullish(),
  redirectLocation: z.string().nullish(),
});
export type Frontend = z.infer<typeof Frontend>;

export const Farm = z.looseObject({
  port: z.int().nullish(),
  balance: z.string().nullish(),
  stickiness: z.string().nullish(),
  probe: z.looseObject({ interval: z.number().nullish() }).nullish(),
});
export type Farm = z.infer<typeof Farm>;

export const ServerState = z.looseObject({
  instanceId: z.int().nullish(),
  status: z.string().nullish(),
  checkTime: z.string().nullish(),
});
export type ServerState = z.infer<typeof ServerState>;

export const BackendServer = z.looseObject({
  address: z.string(),
  port: z.int().nullish(),
  status: z.string(),
  weight: z.int().nullish(),
  probe: z.boolean().nullish(),
  serverState: z.array(ServerState).nullish(),
});
export type BackendServer = z.infer<typeof BackendServer>;

export const Rule = z.looseObject({
  field: z.string(),
  match: z.string(),
  negate: z.boolean().nullish(),
  pattern: z.string().nullish(),
  subField: z.string().nullish(),
});
export type Rule = z.infer<typeof Rule>;

export const Route = z.looseObject({
  frontendId: id.nullish(),
  action: z.looseObject({ type: z.string(), target: z.string().nullish() }),
  rules: z.array(Rule).nullish(),
});
export type Route = z.infer<typeof Route>;

/** Nothing of it is used but whether it is the same: a refresh publishes certificates, too. */
export const Certificate = z.looseObject({ id });
export type Certificate = z.infer<typeof Certificate>;

export const Task = z.looseObject({
  id,
  status: z.string(),
  creationDate: z.string(),
  doneDate: z.string().nullish(),
});
export type Task = z.infer<typeof Task>;

export const Ids = z.array(id);
export const Defined = z.array(z.looseObject({ type: z.string(), id }));
export const DefinedRoutes = z.array(z.looseObject({ type: z.string(), routeId: id }));
export const PendingChanges = z.array(z.looseObject({ zone: z.string(), number: z.int() }));

/** Stored edits that are not published, by zone. Empty when clean. */
export type Pending = readonly { readonly zone: string; readonly number: number }[];
