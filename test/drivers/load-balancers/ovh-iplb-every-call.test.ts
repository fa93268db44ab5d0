import { keepsPromisesAtEveryCall } from './every-call.contract.js';
import { faulty } from './faulty-world.js';
import { aSlowIplb } from './ovh-iplb-world.js';

keepsPromisesAtEveryCall('an OVHcloud Load Balancer, call by call', async () => faulty(await aSlowIplb()), {
  calls: 'kinds',
});
