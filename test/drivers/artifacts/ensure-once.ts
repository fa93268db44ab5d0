import { Digest } from '../../../domain/names.js';
import { createArtifactCache } from '../../../drivers/artifacts/cache.js';
import { createFileArtifacts } from '../../../drivers/artifacts/file.js';
import { endless } from '../../../drivers/patience.js';
import { aService } from './tarball.js';

// A process of its own that asks a cache for one artifact: `ensure-once.ts <cache> <url> <digest>`.
const [directory = '', url = '', digest = ''] = process.argv.slice(2);
const cache = createArtifactCache({ directory, drivers: [createFileArtifacts()] });
const { sizeBytes } = await cache.ensure({ url, sha256: Digest(digest) }, aService(), endless);
console.log(sizeBytes);
