export { adopt } from './adopt.js';
export { blueGreenDeployment } from './blue-green-deployment.js';
export { converge } from './converge.js';
export { examineServers, inspectService, planDeployment } from './inspection.js';
export { loadBalancerQueue } from './load-balancer-queue.js';
export { repair } from './repair.js';
export { rollback } from './rollback.js';
