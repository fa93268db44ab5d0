import { Context } from '@temporalio/activity';
import { patiently } from './patience.js';

export const createRunActivities = () => ({
  /**
   * Tells who took an earlier deployment of this service over, when nobody has repaired what was left since then.
   * @returns a sentence, or an empty text when there is nothing to settle.
   */
  async unsettledTakeOver(input: { readonly workflowId: string }): Promise<string> {
    return patiently(async () => {
      const { client } = Context.current();
      // Visibility lists the newest run first; SQL visibility refuses an ORDER BY.
      const runs = client.workflow.list({
        query: `WorkflowId = "${input.workflowId}" AND ExecutionStatus != "Running"`,
        pageSize: 1,
      });
      for await (const run of runs) {
        if (run.status.name !== 'FAILED') return '';
        return `the run of ${run.startTime.toISOString()} was taken over by a person and not settled since`;
      }
      return '';
    });
  },
});
