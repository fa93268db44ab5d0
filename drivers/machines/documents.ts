import { z } from 'zod';

/** What is read of the API's documents about machines. Unknown fields are let be: the API grows. */

export const DedicatedServer = z.looseObject({
  state: z.string(),
  powerState: z.string().nullish(),
  datacenter: z.string().nullish(),
  region: z.string().nullish(),
});

const Quantity = z.looseObject({ unit: z.string(), value: z.number() });

export const Hardware = z.looseObject({
  processorName: z.string().nullish(),
  numberOfProcessors: z.number().nullish(),
  coresPerProcessor: z.number().nullish(),
  memorySize: Quantity.nullish(),
});

export const ServiceInfos = z.looseObject({
  status: z.string(),
  expiration: z.string().nullish(),
  renew: z
    .looseObject({ automatic: z.boolean().nullish(), deleteAtExpiration: z.boolean().nullish() })
    .nullish(),
});
export type ServiceInfos = z.infer<typeof ServiceInfos>;

export const Ids = z.array(z.int());

export const PlannedIntervention = z.looseObject({
  status: z.string(),
  type: z.string(),
  wantedStartDate: z.string(),
  expectedEndDate: z.string().nullish(),
});
export type PlannedIntervention = z.infer<typeof PlannedIntervention>;

export const Vps = z.looseObject({
  state: z.string(),
  vcore: z.number().nullish(),
  memoryLimit: z.number().nullish(),
  zone: z.string().nullish(),
  model: z.looseObject({ name: z.string().nullish() }).nullish(),
});

/** `rescuePassword`, which may be among the rest, goes no further than this. */
export const Instance = z.object({
  status: z.string(),
  region: z.string().nullish(),
  flavor: z
    .object({ name: z.string().nullish(), vcpus: z.number().nullish(), ram: z.number().nullish() })
    .nullish(),
});
