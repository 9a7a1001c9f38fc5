import { test, same } from './harness.js';
import { initials } from '../../html/js/triage.js';

test('triage: an account has two letters', () => {
  same(['admin', 'mira.kos', 'Jan Berg', 'x', 'éa-über', ''].map(initials), ['AD', 'MK', 'JB', 'X', 'ÉÜ', '']);
});
