// Calls to the server. One error type; a person-readable text is always in `message`.

const BASE = '/api/v1/';

/** `code` is the server's word, or `offline` when no answer came. */
export class ApiError extends Error {
  constructor(status, body) {
    super(body.error || `The server answered ${status}.`);
    this.status = status;
    this.code = body.code || '';
    this.position = Number.isInteger(body.position) ? body.position : null;
    this.retryAfter = Number(body.retry_after) || 0;
  }
}

async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(BASE + path, { credentials: 'same-origin', cache: 'no-store', ...options });
  } catch (cause) {
    if (cause.name === 'AbortError') throw cause;
    throw new ApiError(0, { error: 'The server does not answer.', code: 'offline' });
  }
  if (response.status === 204) return null;
  let body = {};
  try {
    body = await response.json();
  } catch (cause) {
    if (cause.name === 'AbortError') throw cause;
    if (response.ok) throw new ApiError(response.status, { error: 'The answer of the server could not be read.', code: 'unreadable' });
  }
  if (!response.ok) throw new ApiError(response.status, body && typeof body === 'object' ? body : {});
  return body;
}

const send = (method) => (path, body) => call(path, {
  method,
  headers: { 'Content-Type': 'application/json', 'X-Maltrail': '1' },
  body: JSON.stringify(body),
});

const post = send('POST');
const put = send('PUT');
const remove = send('DELETE');

function query(params) {
  const p = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) if (value !== '' && value != null) p.set(name, value);
  const text = p.toString();
  return text ? `?${text}` : '';
}

export const api = {
  session: () => call('session'),
  login: (username, password) => post('login', { username, password }),
  logout: () => post('logout', {}),
  password: (body) => post('password', body),
  threats: (params, abort) => call(`threats${query(params)}`, { signal: abort }),
  threat: (id, day, abort) => call(`threats/${encodeURIComponent(id)}${query({ day })}`, { signal: abort }),
  triage: (change) => put('triage', change),
  assignees: () => call('assignees'),
  aliases: () => call('aliases'),
  notes: (id, day) => call(`threats/${encodeURIComponent(id)}/notes${query({ day })}`),
  addNote: (id, day, text) => post(`threats/${encodeURIComponent(id)}/notes${query({ day })}`, { text }),
  deleteNote: (id) => remove(`notes/${encodeURIComponent(id)}`, {}),
  days: (from, to) => call(`days${query({ from, to })}`),
  streamUrl: (params) => `${BASE}stream${query(params)}`,
};
