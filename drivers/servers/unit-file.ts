/** Settings of [Service] that add up where they are given twice. */
const listSettings = [
  'ExecCondition',
  'ExecStartPre',
  'ExecStart',
  'ExecStartPost',
  'ExecReload',
  'ExecStop',
  'ExecStopPost',
  'Environment',
  'EnvironmentFile',
] as const;

/**
 * A release's unit file as a drop-in over whatever unit is there: lists are emptied first, so that nothing of an
 * earlier release's or of the unit's own commands is left; single settings win by coming last.
 */
export const asDropIn = (unitFile: string): string =>
  `# The release's settings; lists start empty here.
[Service]
${listSettings.map((name) => `${name}=`).join('\n')}

${unitFile.replaceAll('\r\n', '\n').trimEnd()}
`;
