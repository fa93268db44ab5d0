import type { ArtifactFacts } from './deployment.js';

/** What something takes on a disk, or what is left of it. */
export interface Space {
  readonly bytes: number;
  /** Files and directories; `undefined` where a file system has no limit of its own. */
  readonly inodes: number | undefined;
}

/** Every file ends in a block that it does not fill. */
const blockBytes = 4096;
/** Facts, settings and last words of a release, and the journal. */
const besides = { bytes: 1024 * 1024, inodes: 50 } as const;

/**
 * What an installation takes at its peak: the archive and what is in it stand side by side for a moment. `keepFreeBytes` stay free
 * for others on the machine.
 */
export const neededFor = (
  { sizeBytes, unpackedBytes, entries }: Pick<ArtifactFacts, 'sizeBytes' | 'unpackedBytes' | 'entries'>,
  keepFreeBytes: number,
): Space & { readonly inodes: number } => ({
  bytes: sizeBytes + unpackedBytes + entries * blockBytes + besides.bytes + keepFreeBytes,
  inodes: entries + besides.inodes,
});

/** What is missing, in words; `undefined` where there is enough. */
export function shortage(free: Space, needed: Space & { readonly inodes: number }): string | undefined {
  const lacks = [
    ...(free.bytes < needed.bytes
      ? [`${inKilobytes(free.bytes)} are free, needs ${inKilobytes(needed.bytes)}`]
      : []),
    ...(free.inodes !== undefined && free.inodes < needed.inodes
      ? [`${free.inodes} inodes are free, needs ${needed.inodes}`]
      : []),
  ];
  return lacks.length === 0 ? undefined : lacks.join(' and ');
}

const inKilobytes = (bytes: number): string => `${Math.ceil(bytes / 1024)} KB`;
