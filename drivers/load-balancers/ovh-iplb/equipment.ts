import { colors, otherColor } from '../../../domain/color.js';
import { isKept, keyWords, markerOf } from '../provisioning.js';
import type { Draft, Step } from './draft.js';
import { serverIn } from './inventory.js';
import type { EntryPlanner, Wish } from './provisioning-plan.js';
import { ruleFor } from './routes.js';

/** The servers of each environment stand by in the farm of the other. Inactive, they get nothing: a farm with traffic may have them. */
export function planBackups(planner: EntryPlanner, draft: Draft): void {
  const { entry, wish } = planner;
  for (const color of colors) {
    const role = planner.role(color);
    const id = draft.ids.get(role);
    const farm = `${entry.protocol}/farm/${id}`;
    for (const server of wish.service.environments[otherColor(color)]) {
      const { name, address } = server;
      const port = planner.portOf(server);
      const there = id === undefined ? undefined : serverIn(draft.configuration, farm, address, port);
      if (there) {
        if (there['backup'] !== true)
          draft.note(`${farm} has ${name}, which is no backup there: make it one yourself, or delete it`);
        continue;
      }
      draft.add({
        kind: 'server',
        protocol: entry.protocol,
        role,
        body: {
          address,
          port,
          status: 'inactive',
          weight: 1,
          probe: true,
          backup: true,
          ...planner.serverManner,
          displayName: `${name} (backup)`,
        },
        words: `create server ${name} in the farm of ${color}: an inactive backup`,
      });
    }
  }
}

/** Who reaches the new environment first: a route that leads to where everybody is while it is at rest. */
export function planTesters(
  { route: named, by }: NonNullable<Wish['testers']>,
  planner: EntryPlanner,
  draft: Draft,
): void {
  const { protocol, frontends } = planner.entry;
  const role = 'testers';
  const path = ['testers', 'route'];
  const body = ruleFor(by);
  const rule: Step = {
    kind: 'rule',
    protocol,
    role,
    body,
    words: `create its rule: ${Object.values(body).map(String).join(' ')}`,
  };
  const id = draft.found('route', protocol, role, named, path);
  if (id !== undefined) {
    const name = `${protocol}/route/${id}`;
    const { rules } = draft.configuration.routes.get(name) ?? {};
    const [its, ...more] = rules ?? [];
    if (!its) draft.add(rule);
    else if (more.length > 0 || !isKept(body, its))
      draft.note(
        `${name} has other rules than would be made now (${Object.values(body).map(String).join(' ')}): change it yourself`,
      );
    return;
  }
  if (named !== undefined) return;
  const { live } = planner;
  if (live === undefined) {
    draft.note(
      `the route for testers leads to where everybody is, which nobody can tell yet: run this again once blue is live (${keyWords(path)})`,
    );
    return;
  }
  const displayName = markerOf(planner.wish.service.id, role);
  draft.add(
    {
      kind: 'route',
      protocol,
      role,
      leadsTo: planner.role(live),
      body: { frontendId: frontends[0], displayName },
      words: `create route "${displayName}" on frontend ${frontends[0]}, which leads to ${live} as everybody`,
    },
    rule,
  );
}
