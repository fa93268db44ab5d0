import { otherColor, type Color } from '../../../domain/color.js';
import type { RouteChange } from '../driver.js';
import type { Levers } from './configuration.js';
import { testersRoute } from './routes.js';
import type { View } from './view.js';

/** What has to be read to send all traffic to one environment, and no more: a way back must be quick. */
export function leversFor(
  color: Color,
  { leaveOut }: RouteChange,
  { settings, entries }: View,
  servers: readonly string[],
): Levers {
  const which = leaveOut.length > 0 ? 'all' : 'inactive';
  const { testers, fallback } = settings;
  const farms = entries.flatMap((entry) => [
    // Where the servers of the other environment may be backups, and are to be none.
    [entry.farm(color), fallback ? 'all' : which] as const,
    ...(entry.roles.includes('mixed') ? [[entry.farm('mixed'), which] as const] : []),
    // The same of the servers of this environment.
    ...(fallback ? [[entry.farm(otherColor(color)), 'all'] as const] : []),
  ]);
  return {
    frontends: entries.flatMap((entry) => entry.allFrontends),
    farms: new Map(farms),
    servers,
    routes: testers ? [testersRoute(entries[0], testers)] : [],
  };
}
