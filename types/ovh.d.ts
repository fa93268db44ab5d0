/** npm `ovh` 2.0.3 ships no types. Only what `ovh/` uses is declared. */
declare module 'ovh' {
  interface OvhPackageSettings {
    appKey: string;
    appSecret: string;
    consumerKey: string;
    host: string;
    port: number;
    basePath: string;
  }

  interface OvhPackageClient {
    /** Server's clock minus ours, in seconds. While it is null, every call asks for the time first. */
    apiTimeDiff: number | null;
    /** A Bluebird promise; rejects with `{ error, message }`, which is no `Error`. */
    requestPromised(method: string, path: string, params?: object): PromiseLike<unknown>;
  }

  /** Writes into the object it is given. */
  export default function ovh(settings: OvhPackageSettings): OvhPackageClient;
}
