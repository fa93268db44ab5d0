import type { LoadBalancerSettings } from './service.js';

export type CredentialKind = 'consumer key' | 'service account';

export const credentialKindOf = (settings: LoadBalancerSettings): CredentialKind =>
  settings.driver !== 'in-memory' && 'clientId' in settings.api ? 'service account' : 'consumer key';

const grants = {
  'consumer key': ['access rule', 'make a consumer key that has them: verdigris ovh login'],
  'service account': ['IAM action', 'allow them in an IAM policy: verdigris ovh rules --policy'],
} as const satisfies Record<CredentialKind, readonly [string, string]>;

/**
 * What a credential may not do and must, all of it, and how it is granted. `action` completes "Cannot ...", `options` what
 * the command that helps is called with.
 */
export function credentialLacks(
  action: string,
  kind: CredentialKind,
  lacking: readonly string[],
  options = '',
): string {
  const [what, next] = grants[kind];
  const count = lacking.length === 1 ? `this ${what}` : `these ${lacking.length} ${what}s`;
  return [
    `Cannot ${action}: the ${kind} may not do all of it, needs ${count}`,
    ...lacking,
    `${next}${options}`,
  ].join('\n  ');
}
