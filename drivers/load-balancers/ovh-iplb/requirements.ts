import { describeSplit, wholly } from '../../../domain/split.js';
import type { RouteChange } from '../driver.js';
import { backupHindrances } from './backups.js';
import type { Configuration } from './configuration.js';
import { tooSmall } from './division.js';
import { weightsOf } from './edits.js';
import { testersHindrances } from './routes.js';
import type { View } from './view.js';

/** Why a load balancer as it is configured cannot do what a change asks for, in words; `undefined` where it can. */
export function hindranceOf(
  change: RouteChange,
  configuration: Configuration,
  view: View,
): string | undefined {
  const { to, leaveOut, fallback, testers } = change;
  if (wholly(to) === undefined) {
    if (fallback || testers)
      return `${describeSplit(to)} is divided, needs one environment beside which the other stands by`;
    const division = view.division(configuration, leaveOut);
    if (division.kind === 'impossible') return division.because;
    return weightsOf(change, view) ? undefined : tooSmall(division.smallest);
  }
  const servers = view.servers.filter(({ name, color }) => color !== wholly(to) && !leaveOut.includes(name));
  const lacking = [
    ...(fallback ? view.entries.flatMap((entry) => backupHindrances(entry, configuration, servers)) : []),
    ...(testers ? testersLack(configuration, view) : []),
  ];
  return lacking.length === 0 ? undefined : lacking.join('; ');
}

const testersLack = (
  configuration: Configuration,
  { settings, entries: [entry] }: View,
): readonly string[] =>
  settings.testers
    ? testersHindrances(entry, configuration, settings.testers)
    : ['no route for testers is configured (loadBalancer.testers)'];
