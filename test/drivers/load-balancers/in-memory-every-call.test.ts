import { keepsPromisesAtEveryCall } from './every-call.contract.js';
import { aWorldInMemory } from './in-memory-world.js';

keepsPromisesAtEveryCall('a load balancer in memory, step by step', () => aWorldInMemory());

keepsPromisesAtEveryCall('two load balancers in memory, step by step', () => aWorldInMemory(['gra', 'sbg']), {
  several: true,
});
