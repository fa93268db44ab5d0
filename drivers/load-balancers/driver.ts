import type { LoadBalancerObservation, Shares } from '../../domain/observation.js';
import type { ServerName } from '../../domain/names.js';
import type { Split } from '../../domain/split.js';
import type { Patience } from '../patience.js';

/**
 * Decides which environment new traffic of a service reaches. Requests already running are left alone.
 *
 * Level-triggered: `observe` tells what is, `route` makes it so or says why not; both may be repeated for
 * ever, also after a crash between any two of their calls. Every write is read back before it is published.
 */
export interface LoadBalancerDriver {
  /** For people, for example `OVHcloud load balancer loadbalancer-abc`. */
  readonly name: string;

  /**
   * What is. Reads only.
   * @throws Failure `LoadBalancerUnreachable`, `CredentialRefused`, `RefreshFailed` (one that is under way does not end),
   * `StateUnclear` (the load balancer is not there, or its service has expired)
   */
  observe(patience: Patience): Promise<LoadBalancerObservation>;

  /**
   * Makes new traffic follow `change.to`, publishes it, and proves it from the load balancer's own answers.
   * A change that holds already is no change. A change of ours that was stored and never published (a crash)
   * is finished. Once publishing has begun it is seen through, even when `patience` is cancelled: there is no way to stop it.
   *
   * @throws Failure `LoadBalancerUnreachable`, `CredentialRefused`, `LoadBalancerChanged` (an object of ours is not as
   * expected, named in the message), `StagedEditsFound` (somebody else's edits would be published), `RefreshFailed`,
   * `TrafficNotMoved`, `RequestInvalid` (the load balancer cannot divide traffic like that), `StateUnclear` (the load balancer
   * is not there, or its service has expired)
   */
  route(change: RouteChange, patience: Patience): Promise<RouteReport>;

  /** Throws what `route` would throw before its first write. Reads only. Where it is missing, what is observed has to do. */
  prepare?(change: RouteChange, patience: Patience): Promise<void>;
}

export interface RouteChange {
  readonly to: Split;
  /**
   * Digest by name of the objects of ours, as in `LoadBalancerObservation.objects`: the change is only made while they
   * are like this. `undefined` accepts whatever is there (a rollback: traffic first). May name the others too, as they were
   * when nothing was stored: only then can a driver tell whose a stored edit is, and publish one that changes nothing.
   */
  readonly expected: Readonly<Record<string, string>> | undefined;
  /**
   * `forward` never publishes somebody else's edits. `rollback` may publish those that touch none of our objects, and
   * lists them in its report.
   */
  readonly purpose: 'forward' | 'rollback';
  /**
   * Servers that must not get any traffic: set inactive in the same change. All others of the environment that gets the
   * traffic are set active.
   */
  readonly leaveOut: readonly ServerName[];
  /** Servers of the other environment that are set active in the same change, so that they are probed. */
  readonly takeIn?: readonly ServerName[];
  /**
   * The servers of the other environment stand by as backups: they get all traffic when every server of `to` is down.
   * Without it none do, afterwards. `leaveOut` keeps servers from it.
   */
  readonly fallback?: boolean;
  /** Testers reach the other environment. Without it they are where everybody is, afterwards. */
  readonly testers?: boolean;
}

export interface RouteReport {
  /** False when traffic was like this already. */
  readonly changed: boolean;
  readonly split: Split;
  /** What the shares of a divided split are of. */
  readonly shares?: Shares;
  /** From the first write to the proof. */
  readonly tookMs: number;
  /** Somebody else's edits that went out with this change, in words. */
  readonly published: readonly string[];
  /** Of several load balancers: from the first that was moved to the last. Meanwhile visitors met both environments. */
  readonly skewMs?: number;
  /** Of several load balancers: those that were moved, in that order. */
  readonly order?: readonly { readonly name: string; readonly tookMs: number }[];
}
