// Writes docs/verdigris.schema.json from the schema that the command line reads with: node --import tsx scripts/schema.mjs
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { jsonSchema } from '../client/configuration/configuration.ts';

export const schemaPath = fileURLToPath(new URL('../docs/verdigris.schema.json', import.meta.url));

/** The file's text, as the formatter of this repository leaves it. */
export const schemaText = async () =>
  format(JSON.stringify(jsonSchema()), { ...(await resolveConfig(schemaPath)), filepath: schemaPath });

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(schemaPath, await schemaText());
