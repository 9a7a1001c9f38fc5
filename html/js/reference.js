// The list of the API's operations (/api), made from /api/v1/openapi.json. Text only as text nodes.

const METHODS = ['get', 'post', 'put', 'delete'];

function make(tag, text, parts = []) {
  const node = document.createElement(tag);
  if (text) node.append(text);
  node.append(...parts);
  return node;
}

/** A schema as a short text: names of schemas stay names. */
export function shape(schema, depth = 0) {
  if (!schema) return '';
  if (schema.$ref) return schema.$ref.split('/').pop();
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const many = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (many) return many.map((part) => shape(part, depth)).join(schema.allOf ? ' & ' : ' | ');
  const types = [schema.type ?? 'any'].flat();
  return types.map((type) => {
    if (type === 'array') return `${shape(schema.items, depth)}[]`;
    if (type !== 'object' || !schema.properties || depth > 3) return type;
    const pad = '  '.repeat(depth + 1);
    const members = Object.entries(schema.properties).map(([name, inner]) => {
      const optional = (schema.required ?? []).includes(name) ? '' : '?';
      const note = inner.description ? `  // ${inner.description.replaceAll('\n', ' ')}` : '';
      return `${pad}${name}${optional}: ${shape(inner, depth + 1)}${note}`;
    });
    return `{\n${members.join('\n')}\n${'  '.repeat(depth)}}`;
  }).join(' | ');
}

/** The operations of a document, by group. */
export function groups(document) {
  const found = new Map();
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const method of METHODS) {
      const operation = methods[method];
      if (!operation) continue;
      const group = operation.tags?.[0] ?? 'other';
      if (!found.has(group)) found.set(group, []);
      found.get(group).push({ path, method, ...operation });
    }
  }
  return found;
}

function content(title, media) {
  return Object.entries(media ?? {}).flatMap(([type, { schema }]) =>
    [make('p', `${title} ${type}`), ...(schema ? [make('pre', shape(schema))] : [])]);
}

function operationNode(operation) {
  const { method, path, summary, description, parameters, requestBody, responses } = operation;
  const rows = parameters.map((parameter) => make('tr', '', [
    make('th', parameter.name), make('td', parameter.in), make('td', shape(parameter.schema)),
    make('td', parameter.description ?? ''),
  ]));
  const answers = Object.entries(responses).filter(([status]) => status !== 'default');
  const head = make('summary', '', [make('b', method), make('code', path), make('span', summary)]);
  const node = make('details', '', [
    head, make('p', description),
    ...(rows.length ? [make('table', '', [make('tbody', '', rows)])] : []),
    ...content('Takes', requestBody?.content),
    ...answers.flatMap(([status, answer]) => [make('p', `Answers ${status}`), ...content('', answer.content)]),
  ]);
  node.dataset.text = `${method} ${path} ${summary}`.toLowerCase();
  return node;
}

function show(api) {
  const operations = document.getElementById('operations');
  for (const [group, members] of groups(api)) {
    operations.append(make('section', '', [make('h2', group), ...members.map(operationNode)]));
  }
  const schemas = document.getElementById('schemas');
  for (const [name, schema] of Object.entries(api.components.schemas)) {
    const node = make('details', '', [make('summary', '', [make('code', name)]), make('pre', shape(schema))]);
    node.dataset.text = name.toLowerCase();
    schemas.append(node);
  }
  schemas.hidden = false;
}

function filter(text) {
  const wanted = text.trim().toLowerCase();
  for (const node of document.querySelectorAll('.reference details')) {
    node.hidden = !node.dataset.text.includes(wanted);
  }
  for (const section of document.querySelectorAll('.reference section')) {
    section.hidden = !section.querySelector('details:not([hidden])');
  }
}

async function start() {
  const state = document.getElementById('state');
  try {
    const answer = await fetch('/api/v1/openapi.json');
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    const api = await answer.json();
    show(api);
    state.textContent = `Version ${api.info.version}`;
  } catch (error) {
    state.textContent = `The list could not be loaded: ${error.message}. Load the page again.`;
  }
  const field = document.getElementById('filter');
  field.addEventListener('input', () => filter(field.value));
}

if (typeof document !== 'undefined') start();
