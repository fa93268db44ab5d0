import { afterAll } from 'vitest';
import { Programs } from './programs.js';
import { describeServer } from './server.contract.js';
import { startSshWorld } from './ssh-world.js';

const programs = await Programs.start();
afterAll(() => programs.close());

describeServer('over SSH', () => startSshWorld(programs));
