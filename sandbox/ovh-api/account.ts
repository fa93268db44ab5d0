import { randomBytes } from 'node:crypto';

import { everything, type AccessRule } from './access-rules.js';

export type CredentialState = 'expired' | 'pendingValidation' | 'refused' | 'validated';

export interface Application {
  readonly applicationId: number;
  readonly applicationKey: string;
  readonly applicationSecret: string;
}

/** A consumer key, with what it may do. */
export interface Credential {
  readonly credentialId: number;
  readonly consumerKey: string;
  readonly application: Application;
  readonly rules: readonly AccessRule[];
  readonly allowedIPs: readonly string[] | null;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  state: CredentialState;
  /** Milliseconds since 1970; null is never. */
  expiresAt: number | null;
  lastUsedAt: number | null;
}

/** A service account. Its `actions` are IAM's names, in which `*` stands for any characters. */
export interface ServiceAccount {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly actions: readonly string[];
}

/** What a started sandbox can be called with. All of it is made at start and worth nothing elsewhere. */
export interface Credentials {
  readonly applicationKey: string;
  readonly applicationSecret: string;
  readonly consumerKey: string;
  readonly clientId: string;
  readonly clientSecret: string;
}

/** Everything of an account, secrets too. */
export interface AccountState {
  readonly applications: readonly Application[];
  readonly credentials: readonly (Omit<Credential, 'application'> & { readonly applicationKey: string })[];
  readonly serviceAccounts: readonly ServiceAccount[];
  readonly tokens: readonly {
    readonly token: string;
    readonly clientId: string;
    readonly expiresAt: number;
  }[];
  readonly first: Credentials;
}

/** The customer's account: applications, consumer keys, service accounts and their tokens. */
export class Account {
  readonly nichandle = 'xx00000-ovh';
  credentials: Credentials;
  /** Of the tokens that are issued from now on; at first as long as the real ones. */
  tokenLifetimeS = 3599;

  readonly #clock: () => number;
  readonly #applications = new Map<string, Application>();
  readonly #consumerKeys = new Map<string, Credential>();
  readonly #serviceAccounts = new Map<string, ServiceAccount>();
  readonly #tokens = new Map<string, { readonly owner: ServiceAccount; readonly expiresAt: number }>();

  constructor(clock: () => number) {
    this.#clock = clock;
    const application = this.addApplication();
    const { consumerKey } = this.addCredential(application, { rules: everything, state: 'validated' });
    const { clientId, clientSecret } = this.addServiceAccount(['*']);
    const { applicationKey, applicationSecret } = application;
    this.credentials = { applicationKey, applicationSecret, consumerKey, clientId, clientSecret };
  }

  state(): AccountState {
    return {
      applications: [...this.#applications.values()],
      credentials: this.list().map(({ application, ...credential }) => ({
        ...credential,
        applicationKey: application.applicationKey,
      })),
      serviceAccounts: [...this.#serviceAccounts.values()],
      tokens: [...this.#tokens].map(([token, { owner, expiresAt }]) => ({
        token,
        clientId: owner.clientId,
        expiresAt,
      })),
      first: this.credentials,
    };
  }

  restore(state: AccountState): void {
    for (const known of [this.#applications, this.#consumerKeys, this.#serviceAccounts, this.#tokens])
      known.clear();
    for (const application of state.applications)
      this.#applications.set(application.applicationKey, application);
    for (const { applicationKey, ...credential } of state.credentials) {
      const application = this.#applications.get(applicationKey);
      if (application) this.#consumerKeys.set(credential.consumerKey, { ...credential, application });
    }
    for (const account of state.serviceAccounts) this.#serviceAccounts.set(account.clientId, account);
    for (const { token, clientId, expiresAt } of state.tokens) {
      const owner = this.#serviceAccounts.get(clientId);
      if (owner) this.#tokens.set(token, { owner, expiresAt });
    }
    this.credentials = state.first;
  }

  application(applicationKey: string): Application | undefined {
    return this.#applications.get(applicationKey);
  }

  credential(consumerKey: string): Credential | undefined {
    return this.#consumerKeys.get(consumerKey);
  }

  /** Every consumer key that there ever was. */
  list(): readonly Credential[] {
    return [...this.#consumerKeys.values()];
  }

  addApplication(): Application {
    const application = {
      applicationId: 100_001 + this.#applications.size,
      applicationKey: randomBytes(8).toString('hex'),
      applicationSecret: randomBytes(16).toString('hex'),
    };
    this.#applications.set(application.applicationKey, application);
    return application;
  }

  addCredential(
    application: Application,
    wanted: {
      readonly rules: readonly AccessRule[];
      readonly state: CredentialState;
      readonly allowedIPs?: readonly string[] | null;
    },
  ): Credential {
    const credential: Credential = {
      credentialId: 200_001 + this.#consumerKeys.size,
      consumerKey: randomBytes(16).toString('hex'),
      application,
      rules: wanted.rules,
      allowedIPs: wanted.allowedIPs ?? null,
      createdAt: this.#clock(),
      state: wanted.state,
      expiresAt: null,
      lastUsedAt: null,
    };
    this.#consumerKeys.set(credential.consumerKey, credential);
    return credential;
  }

  addServiceAccount(actions: readonly string[]): ServiceAccount {
    const account = {
      clientId: `EU.${randomBytes(8).toString('hex')}`,
      clientSecret: randomBytes(16).toString('hex'),
      actions,
    };
    this.#serviceAccounts.set(account.clientId, account);
    return account;
  }

  /** A bearer token, or `undefined` where client and secret do not belong together. */
  issueToken(clientId: string, clientSecret: string): { token: string; expiresInS: number } | undefined {
    const owner = this.#serviceAccounts.get(clientId);
    if (owner === undefined || owner.clientSecret !== clientSecret) return undefined;
    const token = randomBytes(24).toString('base64url');
    this.#tokens.set(token, { owner, expiresAt: this.#clock() + this.tokenLifetimeS * 1000 });
    return { token, expiresInS: this.tokenLifetimeS };
  }

  /** Whom a bearer token stands for while it is valid. */
  bearer(token: string): ServiceAccount | undefined {
    const known = this.#tokens.get(token);
    return known !== undefined && this.#clock() < known.expiresAt ? known.owner : undefined;
  }

  /** Makes every token that was issued so far invalid. */
  expireTokens(): void {
    this.#tokens.clear();
  }
}
