import { activityInfo } from '@temporalio/activity';
import type { FencingToken, Release } from '../domain/deployment.js';
import { Failure } from '../domain/failures.js';
import type { ReleaseId, ServerName } from '../domain/names.js';
import { serverNamed, type Service } from '../domain/service.js';
import { Secret } from '../domain/secret.js';
import { filesOf, unitOf } from '../domain/settings.js';
import { neededFor } from '../domain/space.js';
import type { Told } from '../domain/told.js';
import type { Drivers } from '../drivers/drivers.js';
import type { DrainReport, StopReport } from '../drivers/servers/driver.js';
import type { Patience } from '../drivers/patience.js';
import { confirmIdle, confirmLeftOut } from './observation.js';
import { patiently } from './patience.js';
import { confirmSettings, settingsForOne } from './settings.js';

/** One change on one server. */
export interface ServerChange {
  readonly service: Service;
  readonly server: ServerName;
  readonly token: FencingToken;
  /** It belongs to the live environment, and the load balancer leaves it out: that is what has to hold, instead of being idle. */
  readonly leftOut?: boolean;
}

export const createReleaseActivities = (drivers: Drivers) => ({
  /** Puts the release into its own directory on one server, beside what runs. */
  async installRelease(input: ServerChange & { readonly release: Release }): Promise<Told> {
    return patiently(async (patience) => {
      const { service, release, token } = input;
      const server = serverNamed(service, input.server);
      const artifact = await drivers.artifacts.ensure(release.artifact, service, patience);
      const loader = artifact.facts.binaries?.program.interpreter;
      const { templates } = artifact;
      const current = await settingsForOne(drivers, service, templates, server);
      confirmSettings(current.digest, release.settings, server.name);
      const context = { service, server, release: release.id };
      const installation = {
        release: release.id,
        artifact: release.artifact.sha256,
        sizeBytes: artifact.sizeBytes,
        open: artifact.open,
        needs: neededFor(artifact.facts, service.install.keepFreeBytes),
        unitFile: unitOf(templates, context),
        files: filesOf(templates, context, current.reveal).map(({ text, ...file }) => ({
          ...file,
          content: new Secret(text),
        })),
        shared: service.configuration.shared,
        executable: service.program.executable,
        ...(loader === undefined ? {} : { loader }),
        keep: service.keepReleases,
      };
      return drivers.server(service, server.name).install(installation, token, patience);
    });
  },

  /** Makes an installed release the active one on one server. */
  async activateRelease(
    input: ServerChange & { readonly release: ReleaseId; readonly lingering: 'cut' | 'refuse' },
  ): Promise<DrainReport> {
    return patiently(async (patience) => {
      const { service, server, release, lingering, token } = input;
      await confirmStillIdle(drivers, input, patience);
      const drain = { atMostMs: service.drain.atMostMs, lingering };
      return drivers.server(service, server).activate(release, drain, token, patience);
    });
  },

  /** Puts back what was active before on one server. Harmless when nothing was changed. */
  async restoreRelease(
    input: ServerChange & { readonly release: ReleaseId | 'nothing'; readonly lingering: 'cut' | 'refuse' },
  ): Promise<DrainReport> {
    return patiently(async (patience) => {
      await confirmStillIdle(drivers, input, patience);
      const leftMs = await drainWithALookAtItsEnd(drivers, input, patience);
      return drivers
        .server(input.service, input.server)
        .restore(input.release, Math.min(leftMs, freshMs), input.token, patience);
    });
  },

  /** Removes an installed release from one server, and keeps its evidence. Harmless when it is not there. */
  async removeRelease(
    input: ServerChange & { readonly release: ReleaseId; readonly because: string },
  ): Promise<void> {
    return patiently(async (patience) => {
      await confirmStillIdle(drivers, input, patience);
      await drivers
        .server(input.service, input.server)
        .remove(input.release, input.because, input.token, patience);
    });
  },

  /** Writes down on one server that a release must not run again. */
  async markUnfit(
    input: ServerChange & { readonly release: ReleaseId; readonly because: string },
  ): Promise<void> {
    return patiently((patience) =>
      drivers
        .server(input.service, input.server)
        .markUnfit(input.release, input.because, input.token, patience),
    );
  },

  /** Takes such a mark back. Harmless where there is none. */
  async markFit(input: ServerChange & { readonly release: ReleaseId }): Promise<void> {
    return patiently((patience) =>
      drivers.server(input.service, input.server).markFit(input.release, input.token, patience),
    );
  },

  /** Waits until nothing lingers on one server's port, and tells what still did at the end. */
  async drainServer(input: { readonly service: Service; readonly server: ServerName }): Promise<DrainReport> {
    return patiently((patience) =>
      drivers.server(input.service, input.server).drain(input.service.drain.atMostMs, patience),
    );
  },

  /** Stops the program of one server. */
  async stopServer(input: ServerChange): Promise<StopReport> {
    return patiently(async (patience) => {
      await confirmStillIdle(drivers, input, patience);
      return drivers.server(input.service, input.server).stop(input.token, patience);
    });
  },

  /** Takes over what runs on one server in a flat directory, without restarting it. */
  async adoptServer(input: ServerChange): Promise<ReleaseId | 'nothing'> {
    return patiently(async (patience) => {
      await confirmStillIdle(drivers, input, patience);
      return drivers.server(input.service, input.server).adopt(input.token, patience);
    });
  },
});

/** A look at the load balancer that is older than this proves nothing about a server that is about to be stopped. */
const freshMs = 10_000;

/**
 * What still lingers at the end of a drain is cut by putting a release back: when that took longer than a look lasts, somebody may
 * have sent the traffic there meanwhile. Gives what is left of the time to drain.
 */
async function drainWithALookAtItsEnd(
  drivers: Drivers,
  {
    service,
    server,
    release,
    lingering,
  }: ServerChange & { readonly release: ReleaseId | 'nothing'; readonly lingering: 'cut' | 'refuse' },
  patience: Patience,
): Promise<number> {
  const { atMostMs } = service.drain;
  const driver = drivers.server(service, server);
  const { connections, activeRelease = 'nothing' } = await driver.observe(patience);
  if (connections === 0 || activeRelease === release) return atMostMs;
  const { cut, waitedMs } = await driver.drain(atMostMs, patience);
  if (cut > 0 && lingering === 'refuse') {
    throw new Failure(
      'ConnectionsLinger',
      `Cannot stop what runs on "${server}": ${cut} connections linger after ${waitedMs} ms, needs none`,
    );
  }
  if (waitedMs >= freshMs) await confirmIdle(drivers, service, serverNamed(service, server).color, patience);
  return Math.max(0, atMostMs - waitedMs);
}

/** The workflow has looked just before it asked for this step; the step may have waited for a worker since, or be tried again. */
async function confirmStillIdle(
  drivers: Drivers,
  { service, server, leftOut }: ServerChange,
  patience: Patience,
): Promise<void> {
  if (leftOut) return confirmLeftOut(drivers, service, server, patience);
  // Temporal's clock may be another one than ours: a look from the future proves nothing either.
  if (Math.abs(Date.now() - activityInfo().scheduledTimestampMs) < freshMs) return;
  await confirmIdle(drivers, service, serverNamed(service, server).color, patience);
}
