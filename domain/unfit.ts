import type { Complaint, FailureName } from './failures.js';
import type { Digest, ReleaseId, ServerName } from './names.js';
import type { Observation } from './observation.js';

/** Why a release must not run again, and since when (ISO 8601). */
export interface Unfit {
  readonly because: string;
  readonly at: string;
}

/** A mark that was found on a server. */
export interface UnfitMark extends Unfit {
  readonly server: ServerName;
  readonly release: ReleaseId;
}

/** What speaks against the release itself. A full disk, a cut network or a person's "no" would have met any other, too. */
const illnesses: readonly FailureName[] = ['StartFailed', 'ReleaseUnhealthy', 'IllUnderTraffic'];

export const isIllness = ({ failure }: Complaint): boolean => illnesses.some((name) => name === failure);

/** The marks of every release of an artifact: other settings do not make an ill program well. */
export const unfitMarksOf = (artifact: Digest, { servers }: Observation): readonly UnfitMark[] =>
  servers.flatMap((seen) =>
    seen.kind === 'unreachable'
      ? []
      : Object.entries(seen.facts.unfitReleases)
          .filter(([release]) => release.startsWith(`${artifact.slice(0, 12)}-`))
          .map(([release, unfit]) => ({ server: seen.server, release: release as ReleaseId, ...unfit })),
  );

/** `was taken back as unfit on 2026-11-26T23:10:00Z from green-1, green-2: ...` */
export function describeMarks(marks: readonly UnfitMark[]): string {
  const newest = marks.toSorted((one, other) => (one.at < other.at ? 1 : -1))[0];
  if (!newest) return 'is fit';
  const servers = [...new Set(marks.map(({ server }) => server))].join(', ');
  const [reason = ''] = newest.because.split('\n');
  return `was taken back as unfit on ${newest.at} from ${servers}: ${reason}`;
}
