// A test runner of a page: `test(name, fn)`, `same(actual, expected)`, then `report()`.
// Result: document.title = "done P passed F failed" and JSON in <pre id="result">.

const cases = [];

export function test(name, run) {
  cases.push({ name, run });
}

/** Deep equality through JSON; fine for the plain data these modules give. */
export function same(actual, expected, what = '') {
  const [a, e] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== e) throw new Error(`${what ? `${what}: ` : ''}expected ${e}, got ${a}`);
}

export async function report() {
  const failures = [];
  for (const { name, run } of cases) {
    try {
      await run();
    } catch (error) {
      failures.push({ name, error: String(error.message || error) });
    }
  }
  const summary = { passed: cases.length - failures.length, failed: failures.length, failures };
  document.getElementById('result').textContent = JSON.stringify(summary, null, 1);
  document.title = `done ${summary.passed} passed ${summary.failed} failed`;
}
