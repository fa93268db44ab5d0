import { Failure } from '../../domain/failures.js';
import type { OvhError } from '../../ovh/error.js';

/** What an error of the OVHcloud API means to the person who reads it. `action` completes "Cannot ...". */
export function ovhFailure(error: OvhError, action: string): Failure {
  const options = { cause: error, ambiguous: error.ambiguous };
  // Behind the first line: what comes after it says what to do.
  const asked = (words: string): string =>
    error.queryId === undefined ? words : words.replace(/$/m, ` (query ${error.queryId})`);
  const refusal = refusals.find(({ code, words }) => error.errorCode === code || words.test(error.message));
  if (error.trouble === 'refused' && refusal) {
    return new Failure('CredentialRefused', asked(`Cannot ${action}: ${refusal.means(error)}`), options);
  }
  if (error.passing) {
    return new Failure(
      'LoadBalancerUnreachable',
      `Cannot ${action}: ${error.message}, needs an answer`,
      options,
    );
  }
  if (error.trouble === 'refused' && /\bquota\b/i.test(error.message)) {
    return new Failure(
      'StateUnclear',
      `Cannot ${action}: the project's quota is used up (${error.message}), needs room for more\n  ask for a higher quota in the control panel, or delete there what nobody uses; then run this again`,
      options,
    );
  }
  if (error.status === 401 || error.status === 403 || error.errorCode === 'NO_TOKEN') {
    return new Failure('CredentialRefused', asked(`Cannot ${action}: ${forbidden(error)}`), options);
  }
  return new Failure('StateUnclear', `Cannot ${action}: ${meaningOf(error)}`, options);
}

interface Refusal {
  readonly code: string;
  /** The code is missing from some answers; the sentence is not. */
  readonly words: RegExp;
  readonly means: (error: OvhError) => string;
}

const refusals: readonly Refusal[] = [
  {
    code: 'NOT_GRANTED_CALL',
    words: /call has not been granted/i,
    means: ({ method, path }) =>
      `the consumer key may not ${method} ${path}, needs this access rule\n  make a consumer key that has it: verdigris ovh login`,
  },
  {
    code: 'INVALID_CREDENTIAL',
    words: /credential is not valid/i,
    means: () =>
      'the consumer key is not valid: it is pending, was refused, has expired or was revoked, needs one that somebody has validated\n  pending: open its validation link and log in\n  refused, expired or revoked: make another with verdigris ovh login',
  },
  {
    code: 'NOT_CREDENTIAL',
    words: /credential does not exist/i,
    means: () =>
      'the consumer key is unknown or was made for another application key, needs the two to belong together\n  make one for this application key: verdigris ovh login',
  },
  {
    code: 'INVALID_KEY',
    words: /application key is invalid/i,
    means: () =>
      "the application key is unknown at this endpoint, needs one that was made there: ovh-eu, ovh-ca and ovh-us do not know each other's keys\n  look at loadBalancer.api.endpoint, or make an application key at that endpoint",
  },
  {
    code: 'invalid_client',
    words: /invalid_client/,
    means: () =>
      'the service account is unknown to its token server or its secret is wrong, needs the two to belong together and to this endpoint\n  look at loadBalancer.api: clientId, clientSecret, endpoint, tokenUrl',
  },
  {
    code: 'QUERY_TIME_OUT',
    words: /out of time/i,
    means: () =>
      "the API finds our time wrong even after it was asked for its own, needs a clock that runs steadily\n  compare this machine's clock with another: timedatectl",
  },
  {
    code: 'INVALID_SIGNATURE',
    words: /invalid signature/i,
    means: () =>
      'the signature is refused, needs the application secret that belongs to the application key and a consumer key that somebody has validated',
  },
];

const forbidden = ({ deniedActions, method, path }: OvhError): string =>
  deniedActions === undefined
    ? `the credential may not ${method} ${path}, needs the right to`
    : `the account is not allowed ${deniedActions}, needs an IAM policy that allows it\n  print one that has all that is needed: verdigris ovh rules --policy`;

const meaningOf = (error: OvhError): string =>
  error.status === 460
    ? `the service has expired (${error.message}), needs to be renewed\n  renew it in the control panel, and look again: verdigris check`
    : error.status === 404
      ? `it does not exist or is not this account's (${error.message}), needs one that is\n  see what this account has: verdigris ovh discover`
      : `the API refuses the call (${error.message})`;
