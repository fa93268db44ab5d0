import { z } from 'zod';

/** What the driver reads in the API's documents. Unknown fields are kept: they belong to an object's digest. */
const id = z.string().min(1);
const provisioningStatus = z.string();
const operatingStatus = z.string();

export const Balancer = z.looseObject({
  id,
  name: z.string().nullish(),
  provisioningStatus,
  operatingStatus: operatingStatus.nullish(),
});
export type Balancer = z.infer<typeof Balancer>;

export const Listener = z.looseObject({
  id,
  name: z.string().nullish(),
  protocol: z.string(),
  port: z.int(),
  defaultPoolId: z.string().nullish(),
  description: z.string().nullish(),
  allowedCidrs: z.array(z.string()).nullish(),
  certificateId: z.string().nullish(),
});
export type Listener = z.infer<typeof Listener>;

export const Pool = z.looseObject({
  id,
  name: z.string().nullish(),
  algorithm: z.string(),
  protocol: z.string(),
  sessionPersistence: z.looseObject({ type: z.string() }).nullish(),
});
export type Pool = z.infer<typeof Pool>;

export const Member = z.looseObject({
  id,
  name: z.string().nullish(),
  address: z.string(),
  protocolPort: z.int(),
  weight: z.int().nullish(),
  operatingStatus: operatingStatus.nullish(),
});
export type Member = z.infer<typeof Member>;

export const Monitor = z.looseObject({
  id,
  delay: z.number(),
  timeout: z.number(),
  maxRetriesDown: z.number().nullish(),
});
export type Monitor = z.infer<typeof Monitor>;

export const Policy = z.looseObject({
  id,
  action: z.string(),
  redirectPoolId: z.string().nullish(),
});

export const Rule = z.looseObject({ id });
export type Policy = z.infer<typeof Policy> & { readonly rules: readonly z.infer<typeof Rule>[] };

/** What a member weighs where nothing is said. */
export const defaultWeight = 1;
export const weightOf = ({ weight }: Member): number => weight ?? defaultWeight;
