import type { Server } from '../../domain/service.js';
import { wholly } from '../../domain/split.js';
import type { RouteChange } from './driver.js';

/** Whether a change sets a server active or inactive, or says nothing of it. */
export function activityOf(
  { name, color }: Pick<Server, 'name' | 'color'>,
  { to, leaveOut, takeIn }: RouteChange,
): 'active' | 'inactive' | undefined {
  if (leaveOut.includes(name)) return 'inactive';
  const getsTraffic = (wholly(to) ?? color) === color;
  return getsTraffic || takeIn?.includes(name) ? 'active' : undefined;
}
