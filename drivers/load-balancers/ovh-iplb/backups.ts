import { otherColor, type Color } from '../../../domain/color.js';
import type { Server } from '../../../domain/service.js';
import type { Configuration } from './configuration.js';
import type { Entry, Member } from './entry.js';

/** The object that stands for a server in the farm of the other environment: it is meant to be a backup, and inactive at rest. */
export const backupOf = (entry: Entry, server: Server, configuration: Configuration): Member | undefined =>
  entry.member(server, otherColor(server.color), configuration);

/** Servers that stand by in the farm of the other environment. */
export const standingBy = (
  entries: readonly Entry[],
  configuration: Configuration,
  servers: readonly Server[],
): readonly Server[] =>
  servers.filter((server) =>
    entries.some((entry) => {
      const [, object] = backupOf(entry, server, configuration) ?? [];
      return object?.status === 'active' && object['backup'] === true;
    }),
  );

/** Why the servers of one environment cannot stand by for the other one, in words. */
export const backupHindrances = (
  entry: Entry,
  configuration: Configuration,
  servers: readonly Server[],
): readonly string[] =>
  servers.flatMap((server) => {
    const farm = `${entry.farm(otherColor(server.color))} (${otherColor(server.color)})`;
    const [name, object] = backupOf(entry, server, configuration) ?? [];
    if (!object) return [`${server.name} is not in ${farm}, needs to be a backup there`];
    return [
      ...(object['backup'] === true ? [] : [`${name} stands for ${server.name} in ${farm} and is no backup`]),
      ...(object.probe === true ? [] : [`${name}, a backup in ${farm}, is not probed`]),
    ];
  });

/** Servers that get their share of the other environment's traffic, in words: nobody has made them backups. */
export const intruders = (
  entry: Entry,
  color: Color,
  configuration: Configuration,
  servers: readonly Server[],
): readonly string[] =>
  servers
    .filter((server) => server.color !== color)
    .flatMap((server) => {
      const [name, object] = backupOf(entry, server, configuration) ?? [];
      const isIntruder = object?.status === 'active' && object['backup'] !== true;
      return isIntruder ? [`${name} gives ${server.name} traffic of ${color}, and is no backup`] : [];
    });
