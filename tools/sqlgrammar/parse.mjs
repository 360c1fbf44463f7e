// Usage: node --loader ./resolve.mjs parse.mjs hive|spark|trino <STATEMENTS
//
// Prints a line for each place where the statements are not of the language: line:column, and why. Exits with 1 where there is one.
import { readFileSync } from 'node:fs';
import { HiveSQL, SparkSQL, TrinoSQL } from 'dt-sql-parser';

const grammars = { hive: HiveSQL, spark: SparkSQL, trino: TrinoSQL };
const grammar = grammars[process.argv[2]];
if (!grammar) {
  console.error(`parse.mjs: no grammar ${process.argv[2]}: take one of ${Object.keys(grammars).join(', ')}`);
  process.exit(2);
}
const errors = new grammar().validate(readFileSync(0, 'utf8'));
for (const e of errors) {
  console.log(`${e.startLine}:${e.startColumn} ${e.message}`);
}
process.exit(errors.length ? 1 : 0);
