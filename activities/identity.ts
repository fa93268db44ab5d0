import pMap from 'p-map';
import type { Color } from '../domain/color.js';
import { Failure } from '../domain/failures.js';
import type { HealthQuestion } from '../domain/health.js';
import type { Service } from '../domain/service.js';
import type { Drivers } from '../drivers/drivers.js';
import type { Patience } from '../drivers/patience.js';

/** The question whose answer tells which release gave it. */
export const identityQuestion = ({ publicAddress: { identify }, health }: Service): HealthQuestion => ({
  path: identify.path,
  status: 200,
  timeoutMs: health.timeoutMs,
  identityHeader: identify.header,
});

/** How the servers of an environment name themselves to visitors; a silent or unreachable one is left out. */
export async function identitiesOf(
  drivers: Pick<Drivers, 'server'>,
  service: Service,
  color: Color,
  patience: Patience,
): Promise<readonly string[]> {
  const names = await pMap(service.environments[color], async ({ name }) => {
    try {
      const sample = await drivers.server(service, name).probe(identityQuestion(service), patience);
      return sample.kind === 'answered' ? sample.identity : undefined;
    } catch (error) {
      if (error instanceof Failure) return undefined;
      throw error;
    }
  });
  return [...new Set(names.filter((name) => name !== undefined))].sort();
}
