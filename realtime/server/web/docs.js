/**
 * The API reference, made from `/openapi.json`: every route with its parameters and answers, then every schema.
 *
 * @module
 */

const METHODS = ["get", "post", "delete"];
const LIMITS = {
  minimum: (value) => `at least ${value}`,
  maximum: (value) => `at most ${value}`,
  exclusiveMinimum: (value) => `more than ${value}`,
  maxLength: (value) => `at most ${value} characters`,
  maxItems: (value) => `at most ${value} items`,
  pattern: (value) => `like ${value}`,
};

const byId = (id) => document.getElementById(id);
const last = (reference) => reference.slice(reference.lastIndexOf("/") + 1);
const shortName = (name) => name.slice(name.lastIndexOf(".") + 1);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** Prose with `code` in backquotes. */
function prose(text) {
  const pieces = text.split("`").map((piece, index) => (index % 2 ? element("code", {}, piece) : piece));
  return element("p", {}, ...pieces);
}

/** The type of a schema as nodes; the named ones are links. */
function type(schema) {
  if (schema.$ref) return [schemaLink(last(schema.$ref))];
  if (schema.anyOf) return schema.anyOf.flatMap((one, index) => (index ? [" | ", ...type(one)] : type(one)));
  if (schema.enum) return [schema.enum.map((value) => JSON.stringify(value)).join(" | ")];
  if (schema.type === "array") return [...type(schema.items ?? {}), "[]"];
  return [schema.type ?? "any"];
}

function schemaLink(name) {
  return element("a", { href: `#schema-${name}` }, shortName(name));
}

/** What else a schema demands; of a union, what its members do. */
function demands(schema) {
  const all = [schema, ...(schema.anyOf ?? [])];
  const limits = Object.entries(LIMITS).flatMap(([name, say]) => {
    return all.filter((one) => name in one).map((one) => say(one[name]));
  });
  const { default: value } = schema;
  const usual = value === undefined || value === null ? [] : [`${JSON.stringify(value)} by default`];
  return [...limits, ...usual].join(", ");
}

function descriptionOf(schema) {
  return schema.description ?? schema.anyOf?.find(({ description }) => description)?.description;
}

function field(name, schema, { required = false, note = "", description = descriptionOf(schema) } = {}) {
  const facts = [note, required ? "required" : "", demands(schema)].filter(Boolean).join(", ");
  const term = element("dt", {}, element("code", {}, name));
  const detail = element("dd", {}, element("code", {}, ...type(schema)), element("span", { class: "facts" }, facts));
  if (description) detail.append(prose(description));
  return element("div", {}, term, detail);
}

function titled(title, rows) {
  return rows.length ? [element("h3", {}, title), element("dl", {}, ...rows)] : [];
}

function answer([status, { description, content = {} }]) {
  const kinds = Object.entries(content).flatMap(([media, { schema }], index) => [
    index ? ", " : "",
    element("code", {}, media),
    ...(schema?.$ref ? [" ", ...type(schema)] : []),
  ]);
  const term = element("dt", {}, element("code", {}, status === "default" ? "4xx, 5xx" : status));
  // FastAPI's word for having nothing to say.
  const said = description === "Successful Response" ? null : prose(description);
  return element("div", {}, term, element("dd", {}, ...kinds, said ?? ""));
}

function operation({ id, method, path, summary, description, parameters = [], requestBody, responses }) {
  const verb = element("span", { class: "method", "data-method": method }, method.toUpperCase());
  const body = Object.values(requestBody?.content ?? {}).map(({ schema }) => field("body", schema));
  const given = parameters.map((one) => field(one.name, one.schema, { ...one, note: one.in }));
  return element(
    "article",
    { class: "entry", id },
    element("h2", {}, verb, element("code", {}, path)),
    prose(summary ?? ""),
    description ? prose(description) : null,
    ...titled("Parameters", given),
    ...titled("Body", body),
    ...titled("Answers", Object.entries(responses).map(answer)),
  );
}

function schemaEntry([name, schema]) {
  const required = new Set(schema.required);
  const fields = Object.entries(schema.properties ?? {});
  const rows = fields.map(([key, one]) => field(key, one, { required: required.has(key) }));
  return element(
    "article",
    { class: "entry", id: `schema-${name}` },
    element("h2", {}, element("code", {}, shortName(name))),
    schema.description ? prose(schema.description) : null,
    ...titled("Fields", rows),
  );
}

function operationsOf({ paths }) {
  const rank = (path) => (path.startsWith("/v1/") ? "0" : "1") + path;
  const sorted = Object.entries(paths).sort(([a], [b]) => (rank(a) < rank(b) ? -1 : 1));
  return sorted.flatMap(([path, methods]) =>
    METHODS.filter((method) => methods[method]).map((method) => {
      return { id: `${method}${path.replace(/[^a-z0-9]+/gi, "-")}`, method, path, ...methods[method] };
    }),
  );
}

function show(document_) {
  const operations = operationsOf(document_);
  const schemas = Object.entries(document_.components?.schemas ?? {});
  byId("operations").append(...operations.map(operation));
  byId("schemas").append(...schemas.map(schemaEntry));
  const links = operations.map(({ id, method, path }) => {
    return element("a", { href: `#${id}` }, element("code", {}, `${method.toUpperCase()} ${path}`));
  });
  const names = schemas.map(([name]) => schemaLink(name));
  byId("contents").append(element("h2", {}, "Routes"), ...links, element("h2", {}, "Schemas"), ...names);
  // The place in the address did not exist when the page was loaded.
  if (location.hash) byId(location.hash.slice(1))?.scrollIntoView();
}

try {
  const response = await fetch("/openapi.json");
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
  show(await response.json());
} catch (error) {
  byId("problem").textContent = `The reference cannot be shown: ${error.message}`;
}
