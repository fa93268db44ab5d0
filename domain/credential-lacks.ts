import type { LoadBalancerSettings } from './service.js';

/** What a credential may not do and must, all of it, and how it is granted. `action` completes "Cannot ...". */
export function credentialLacks(
  action: string,
  settings: LoadBalancerSettings,
  lacking: readonly string[],
): string {
  const isAccount = settings.driver !== 'in-memory' && 'clientId' in settings.api;
  const [who, what, next] = isAccount
    ? ['service account', 'IAM action', 'allow them in an IAM policy: verdigris ovh rules --policy']
    : ['consumer key', 'access rule', 'make a consumer key that has them: verdigris ovh login'];
  const count = lacking.length === 1 ? `this ${what}` : `these ${lacking.length} ${what}s`;
  return [`Cannot ${action}: the ${who} may not do all of it, needs ${count}`, ...lacking, next].join('\n  ');
}
