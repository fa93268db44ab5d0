import { afterAll, beforeAll, expect, test } from 'vitest';
import { endless } from '../../drivers/patience.js';
import { Programs } from '../drivers/servers/programs.js';
import { describeServer } from '../drivers/servers/server.contract.js';
import type { Land } from '../fleet/support/base.js';
import { startFleet, type Fleet } from '../fleet/support/fleet.js';
import { describeOnFleet } from '../fleet/support/needs.js';
import { startServerWorld } from '../fleet/support/server-world.js';

const lands: Readonly<Record<Land, { readonly name: string; readonly systemd: string }>> = {
  bullseye: { name: 'Debian GNU/Linux 11', systemd: '247' },
  bookworm: { name: 'Debian GNU/Linux 12', systemd: '252' },
  trixie: { name: 'Debian GNU/Linux 13', systemd: '257' },
  jammy: { name: 'Ubuntu 22.04', systemd: '249' },
  noble: { name: 'Ubuntu 24.04', systemd: '255' },
};

/** Which of them, and what `/bin/sh` is there: `bullseye/busybox noble/dash`. Unless told every one, each shell now and then. */
const asked =
  process.env['VERDIGRIS_USER_LANDS'] ??
  'bullseye/dash bullseye/busybox trixie/bash trixie/busybox jammy/dash noble/bash';

for (const [land, shell] of asked.split(' ').map((word) => word.split('/') as [Land, string])) {
  describeOnFleet(`${lands[land].name} with ${shell}`, () => {
    let fleet: Fleet;
    let programs: Programs;

    beforeAll(async () => {
      // Linked statically: the C library of these is older, and newer.
      [fleet, programs] = await Promise.all([
        startFleet({ machines: ['one'], land }),
        Programs.start('-static'),
      ]);
      await fleet.machine('one').exec(`rm /etc/sudoers.d/deploy; ln -sf ${shell} /bin/sh`);
    });
    afterAll(async () => {
      await fleet.stop();
      await programs.close();
    });

    test('is what it is called', async () => {
      const world = await startServerWorld(fleet, programs);
      const { platform, systemd, missingTools } = await world.driver.examine(endless);
      expect(platform.system).toContain(lands[land].name);
      expect(systemd).toBe(lands[land].systemd);
      expect(missingTools).toEqual([]);
      expect(await fleet.machine('one').exec('readlink -f /bin/sh')).toMatch(new RegExp(`/${shell}$`));
      await world.close();
    });

    describeServer(`${land}, ${shell}`, () => startServerWorld(fleet, programs));
  });
}
