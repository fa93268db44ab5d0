import { base } from '../fleet/support/base.js';
import { goOvh, pythonOvh } from '../sandbox/official-clients/installed.js';

// Makes what tests make once and keep. Each makes it for itself where it is missing, which takes minutes in the middle of a run.
await Promise.all([base(), pythonOvh().then(goOvh)]);
