import { keepsPromisesAtEveryCall } from './every-call.contract.js';
import { faulty } from './faulty-world.js';
import { aPublicCloud } from './ovh-public-cloud-world.js';

keepsPromisesAtEveryCall(
  'a Public Cloud Load Balancer, call by call',
  async () => faulty(await aPublicCloud({ isVirtual: true })),
  { calls: 'kinds', alike: ['roll back what is as expected'] },
);
