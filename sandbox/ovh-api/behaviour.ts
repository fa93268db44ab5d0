import { z } from 'zod';
import type { FrontOptions } from './front.js';
import type { EditingRules } from './iplb/load-balancer.js';
import type { RefreshOptions } from './iplb/refresh.js';
import type { PublicCloudRules } from './public-cloud/load-balancer.js';

/** Every habit of the real API that is not certain, and every time that a test would not wait for. */
export type OvhApiBehaviour = EditingRules &
  RefreshOptions &
  PublicCloudRules &
  Omit<FrontOptions, 'clock' | 'wait' | 'kept'>;

const milliseconds = z.number().min(0);
const status = z.union([z.literal(200), z.literal(201), z.literal(202), z.literal(204)]).optional();

/** The behaviour as it can be set while the sandbox runs. */
const schema = z.strictObject({
  clockWindowMs: z.number(),
  errorShape: z.enum(['both', 'class', 'errorCode', 'message']),
  successStatus: z.strictObject({ GET: status, POST: status, PUT: status, DELETE: status }),
  unknownKeys: z.enum(['refuse', 'ignore']),
  deleteFarmWithServers: z.boolean(),
  deleteUsedFarm: z.boolean(),
  partialPut: z.enum(['merge', 'refuse']),
  nullInPut: z.enum(['clear', 'ignore']),
  weightZero: z.enum(['keep', 'drop']),
  leastProbeIntervalS: z.int().min(30).max(3600),
  pendingCounts: z.enum(['edits', 'differences']),
  pendingZones: z.enum(['edited', 'all']),
  todoMs: milliseconds,
  doingMs: milliseconds,
  instanceStaggerMs: milliseconds,
  snapshotAt: z.enum(['order', 'start']),
  whileBusy: z.enum(['queue', 'reject409', 'merge']),
  updatingMs: milliseconds,
  creatingMs: milliseconds,
  lockedAnswer: z.enum(['immutable 409', 'pending 409', 'bare 409', 'immutable 400', 'immutable 500']),
  unreachedPools: z.enum(['offline', 'noMonitor', 'monitored']),
  poolForListener: z.enum(['replaces', 'refused']),
  publicCloudEdits: z.enum(['merge', 'replace']),
  readLagMs: milliseconds,
  createLagMs: milliseconds,
  publicCloudQuota: z.partialRecord(
    z.enum(['listener', 'pool', 'member', 'healthMonitor', 'l7Policy', 'l7Rule']),
    z.int().min(0),
  ),
  publicCloudV2: z.enum(['absent', 'readable']),
} satisfies Record<keyof OvhApiBehaviour, z.ZodType>);

export const behaviourNames = Object.keys(schema.shape) as readonly (keyof OvhApiBehaviour)[];

/** What is not named stays as it is. */
export const BehaviourChange = schema.partial();

export const asTheRealOne: OvhApiBehaviour = {
  clockWindowMs: 30_000,
  errorShape: 'both',
  successStatus: {},
  unknownKeys: 'refuse',
  deleteFarmWithServers: false,
  deleteUsedFarm: false,
  partialPut: 'merge',
  nullInPut: 'clear',
  weightZero: 'keep',
  leastProbeIntervalS: 30,
  pendingCounts: 'edits',
  pendingZones: 'edited',
  todoMs: 200,
  doingMs: 800,
  instanceStaggerMs: 0,
  snapshotAt: 'order',
  whileBusy: 'queue',
  updatingMs: 500,
  creatingMs: 2_000,
  lockedAnswer: 'immutable 409',
  unreachedPools: 'offline',
  poolForListener: 'replaces',
  publicCloudEdits: 'merge',
  readLagMs: 0,
  createLagMs: 0,
  publicCloudQuota: {},
  publicCloudV2: 'absent',
};
