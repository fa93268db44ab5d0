import type { WorkflowInterceptors } from '@temporalio/workflow';
import { namingIts, serviceIn } from '../domain/service-by-name.js';
import type { Service } from '../domain/service.js';

/**
 * Has every step name the service that its run was started with. It stands whole in the first event of the history, from where
 * the activities take it: they are given what their signatures say.
 */
export function interceptors(): WorkflowInterceptors {
  let own: Service | undefined;
  return {
    inbound: [
      {
        execute(input, next) {
          own = serviceIn(input.args[0]);
          return next(input);
        },
      },
    ],
    outbound: [
      {
        scheduleActivity: (input, next) =>
          next({ ...input, args: input.args.map((each) => namingIts(own, each)) }),
      },
    ],
  };
}
