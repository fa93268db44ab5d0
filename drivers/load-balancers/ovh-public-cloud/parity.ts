import type { Inequality } from '../../../domain/observation.js';
import type { OvhPublicCloudSettings } from '../../../domain/service.js';
import { inequalitiesOf, type Compared } from '../inequality.js';
import type { Configuration } from './configuration.js';

const ofPools: readonly Compared[] = [
  { field: 'protocol', breaks: true },
  { field: 'sessionPersistence', breaks: true },
  { field: 'algorithm', breaks: false },
];

const ofMonitors: readonly Compared[] = [
  { field: 'monitorType', breaks: false },
  { field: 'httpConfiguration', breaks: false },
  { field: 'delay', breaks: false },
  { field: 'timeout', breaks: false },
  { field: 'maxRetries', breaks: false },
  { field: 'maxRetriesDown', breaks: false },
];

/** In what the pools of blue and green are set up differently. */
export function inequalitiesIn(
  { pools: { blue, green } }: Pick<OvhPublicCloudSettings, 'pools'>,
  { pools, monitors }: Configuration,
): readonly Inequality[] {
  const [own, other] = [pools.get(blue), pools.get(green)];
  if (!own || !other) return [];
  const names = [`pool ${blue} (blue)`, `pool ${green} (green)`] as const;
  const [monitor] = monitors.get(blue) ?? [];
  const [otherMonitor] = monitors.get(green) ?? [];
  return [
    ...inequalitiesOf([names[0], persistent(own)], [names[1], persistent(other)], ofPools),
    ...(monitor && otherMonitor
      ? inequalitiesOf(
          [`the monitor of ${names[0]}`, monitor],
          [`the monitor of ${names[1]}`, otherMonitor],
          ofMonitors,
        )
      : []),
  ];
}

/** Disabled persistence is none. */
const persistent = <
  Kind extends { readonly sessionPersistence?: { readonly type: string } | null | undefined },
>(
  pool: Kind,
) => (pool.sessionPersistence?.type === 'disabled' ? { ...pool, sessionPersistence: null } : pool);
