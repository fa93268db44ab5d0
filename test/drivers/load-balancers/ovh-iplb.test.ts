import { anIplb } from './ovh-iplb-world.js';
import { keepsLoadBalancerPromises } from './load-balancer.contract.js';

keepsLoadBalancerPromises('an OVHcloud Load Balancer, http', () => anIplb('http'));
