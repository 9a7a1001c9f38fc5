// Loads every test module, then reports. A module that does not load counts as one failure.

import { test, report } from './harness.js';

const MODULES = ['aliases', 'view', 'query', 'trail', 'triage', 'ports', 'format', 'rows', 'sentence', 'paging'];

for (const name of MODULES) {
  try {
    await import(`./${name}.test.js`);
  } catch (error) {
    test(`${name}.test.js loads`, () => { throw error; });
  }
}
await report();
