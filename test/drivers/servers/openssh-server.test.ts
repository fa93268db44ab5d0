import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { judgeServer, type ProcessLook, type Sample } from '../../../domain/health.js';
import { endless } from '../../../drivers/patience.js';
import { Programs } from './programs.js';
import { health, steps } from './server.contract.js';
import { startSshWorld } from './ssh-world.js';
import { hasOpenSsh, startSshd, user } from './sshd.js';

const programs = await Programs.start();
afterAll(() => programs.close());

/** A sandbox machine behind the real sshd: its commands, files and units are the same. */
async function aServer(lines: readonly string[]) {
  const world = await startSshWorld(programs);
  onTestFinished(() => world.close());
  const environment = Object.entries(world.machine.environment).map(([name, value]) => `${name}="${value}"`);
  const sshd = await startSshd({
    authorizedKeys: [world.keys.public],
    lines: [`SetEnv ${environment.join(' ')}`, ...lines],
  });
  const driver = world.connect({ port: sshd.port, user, hostKeys: sshd.hostKeys });
  const commands = async () => (await sshd.log()).match(/^Starting session: command for /gm)?.length ?? 0;
  return { world, sshd, driver, commands };
}

describe.runIf(hasOpenSsh)('a server behind OpenSSH', () => {
  test.each([
    ['as it comes, takes one connection', 1, []],
    ['with one session, takes one connection more to watch', 2, ['MaxSessions 1']],
    ['without tunnels, takes one connection', 1, ['AllowTcpForwarding no']],
    [
      'without tunnels and with one session, takes two more to watch and to ask',
      3,
      ['AllowTcpForwarding no', 'MaxSessions 1'],
    ],
  ])('%s, and at most 12 commands from start to verified', async (_, connections, lines) => {
    const { world, sshd, driver, commands } = await aServer(lines);
    const next = steps();
    const release = await world.release('v1');
    await driver.observe(endless);
    await driver.install(release.installation, next(), endless);
    await driver.observe(endless);
    await driver.activate(release.id, { atMostMs: 1000, lingering: 'refuse' }, next(), endless);
    const samples: Sample[] = [];
    let first: ProcessLook | undefined;
    for await (const look of driver.watch(50, endless)) {
      first ??= look;
      samples.push(await driver.probe(health, endless));
      if (judgeServer(samples, first, look, { passes: 3, status: 200 }).kind === 'pass') break;
    }
    expect(samples.at(-1)).toMatchObject({ kind: 'answered', status: 200, identity: 'v1' });
    expect((await driver.observe(endless)).runningProgram).toBe(release.executable);
    expect(await commands()).toBeLessThanOrEqual(12);
    expect(await sshd.logins()).toBeLessThanOrEqual(connections);
  });
});
