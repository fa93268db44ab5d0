import type { OvhApiSettings } from '../../../domain/service.js';
import type { OvhApi } from '../../../ovh/api.js';
import { missingActions, missingRules } from '../../../ovh/credential.js';
import { ovhEndpoint } from '../../../ovh/endpoint.js';
import type { Right } from '../../../ovh/rights.js';

/** What is needed of one resource, as IAM names it. */
export interface Need {
  readonly rights: readonly Right[];
  readonly urn: string;
}

export const urnOf = ({ api }: { readonly api: OvhApiSettings }, resource: string): string =>
  `urn:v1:${ovhEndpoint(api.endpoint).region}:resource:${resource}`;

/** What a credential lacks of all that is needed. `undefined` where it may not even be told. */
export async function lackingOf(
  api: OvhApi,
  needs: readonly Need[],
  isAccount: boolean,
): Promise<readonly string[] | undefined> {
  const lacking = needs.map(({ rights, urn }) =>
    isAccount ? missingActions(api, rights, urn) : missingRules(api, rights),
  );
  const told = (await Promise.all(lacking)).filter((each) => each !== undefined);
  return told.length === 0 ? undefined : [...new Set(told.flat())];
}
