import { keepsPromisesAtEveryCall } from './every-call.contract.js';
import { faulty } from './faulty-world.js';
import { aPair } from './several-world.js';

/** Every procedure is met at every step by two in memory; here is what their calls make of it. */
const alike = ['observe', 'roll back what is as expected', 'resume'];

keepsPromisesAtEveryCall(
  'two OVHcloud Load Balancers, call by call',
  async () => faulty(await aPair('ovh-iplb', 'ovh-iplb')),
  { several: true, calls: 'writes', alike },
);

keepsPromisesAtEveryCall(
  'an OVHcloud Load Balancer and a Public Cloud Load Balancer, call by call',
  async () => faulty(await aPair('ovh-iplb', 'ovh-public-cloud')),
  { several: true, calls: 'writes', alike: [...alike, 'roll back'] },
);
