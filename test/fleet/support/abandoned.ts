import { startFleet } from './fleet.js';

/** A program that starts a fleet, says where, and does nothing until it is killed. */
const { name, gateway } = await startFleet({ machines: ['lonely'], diskMegabytes: 64 });
console.log(JSON.stringify({ name, gateway }));
setInterval(() => undefined, 1_000);
