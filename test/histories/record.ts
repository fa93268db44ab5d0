import { writeFile } from 'node:fs/promises';
import { describe } from 'vitest';
import { test, type World } from '../support/world.js';
import { closedScenes, openScenes, type Scene } from './scenes.js';
import { fileOf, storable } from './stored-history.js';

type Worlds = (changes?: Scene['changes']) => Promise<World>;

async function record(aWorld: Worlds, name: string, { bring, changes }: Scene, ends: boolean): Promise<void> {
  const another = () => aWorld(changes);
  const handle = await bring(await another(), another);
  if (ends) await handle.result().catch(() => 'a take-over ends as a failure');
  await writeFile(fileOf(name), storable(await handle.fetchHistory()));
}

describe.concurrent('a history is recorded', () => {
  test.for(Object.entries(closedScenes))('of a run that has ended: %s', async ([name, scene], { aWorld }) => {
    await record(aWorld, name, scene, true);
  });

  test.for(Object.entries(openScenes))('of a run that waits: %s', async ([name, scene], { aWorld }) => {
    await record(aWorld, name, scene, false);
  });
});
