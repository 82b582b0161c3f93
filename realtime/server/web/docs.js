/**
 * The API reference, made from the OpenAPI document: every route with its parameters, answers and a command to try it,
 * then every error and every schema.
 *
 * @module
 */

import { element, field, fields, nameOf, prose, schemaLink, shortName, typeOf } from "./docs-schema.js";

// A start is what a reader looks for first.
const METHODS = ["post", "get", "delete"];
const GROUPS = [
  ["Generations", /\/v1\/generations(\/|$)/],
  ["Conversations", /\/v1\/conversations\//],
  ["Models", /\/v1\/models$/],
  ["Machines", /\/(livez|healthz|readyz|metrics)$/],
  ["Other routes", /^/],
];
const STREAM = "text/event-stream";
const COPIED_MS = 2000;

const byId = (id) => document.getElementById(id);

/** The document: beside this page where the app is mounted, or at the root when only its routers are. */
async function load() {
  for (const address of ["openapi.json", "/openapi.json"]) {
    const response = await fetch(address);
    if (response.ok) {
      byId("document").href = address;
      return response.json();
    }
    if (response.status !== 404) throw new Error(`The server answered ${response.status}.`);
  }
  throw new Error("The server has no openapi.json.");
}

function operationsOf({ paths }) {
  return Object.entries(paths).flatMap(([path, methods]) =>
    METHODS.filter((method) => methods[method]).map((method) => {
      const group = GROUPS.find(([, form]) => form.test(path))[0];
      const id = `${method}${path.replace(/[^a-z0-9]+/gi, "-").replace(/-$/, "")}`;
      return { id, method, path, group, ...methods[method] };
    }),
  );
}

/** A body that is as small as can be and still worth sending. */
function exampleBody(schema, streams) {
  const named = (schema.required ?? []).map((name) => [name, schema.properties[name].examples?.[0] ?? "…"]);
  const prompt = schema.properties.prompt ? { prompt: "Why resume a stream?" } : {};
  return JSON.stringify({ ...Object.fromEntries(named), ...prompt, ...(streams ? { stream: true } : {}) });
}

/** A command for a shell. Names in the path are variables of it. */
function curl({ method, path, requestBody, responses }, base, schemas) {
  const streams = STREAM in (responses[200]?.content ?? {});
  const options = [streams ? "-N " : "", method === "get" || requestBody ? "" : `-X ${method.toUpperCase()} `].join("");
  const lines = [`curl ${options}"${base}${path.replace(/\{(\w+)\}/g, "$$$1")}"`];
  for (const [media, { schema }] of Object.entries(requestBody?.content ?? {})) {
    lines.push(`-H "Content-Type: ${media}"`, `-d '${exampleBody(schemas[nameOf(schema)], streams)}'`);
  }
  return lines.join(" \\\n  ");
}

function example(text, label) {
  const code = element("code", {}, text);
  const copy = element("button", { type: "button", "aria-label": `Copy the command: ${label}` }, "Copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = byId("announcements").textContent = "Copied";
    } catch {
      // There is no clipboard without TLS; what is selected can be copied by hand.
      getSelection().selectAllChildren(code);
      copy.textContent = byId("announcements").textContent = "Selected";
    }
    setTimeout(() => {
      copy.textContent = "Copy";
      byId("announcements").textContent = "";
    }, COPIED_MS);
  });
  // It scrolls, so it can be reached by keyboard; what can be focused has a name and a role.
  const box = element("pre", { tabindex: "0", role: "group", "aria-label": `Command: ${label}` }, code);
  return element("div", { class: "example" }, box, copy);
}

function answer([status, { description, content = {}, headers = {} }]) {
  const kinds = Object.entries(content).map(([media, { schema }]) =>
    element("li", {}, element("code", {}, media), ...(schema?.$ref ? [" ", ...typeOf(schema)] : [])),
  );
  const given = Object.entries(headers).map(([name, one]) =>
    element("li", {}, element("code", {}, name), ` header: ${one.description}`),
  );
  const code = status === "default" ? "4xx, 5xx" : status;
  const list = kinds.length + given.length ? element("ul", { class: "kinds" }, ...kinds, ...given) : null;
  return element("div", {}, element("dt", {}, element("code", {}, code)), element("dd", {}, prose(description), list));
}

const titled = (title, ...content) => [element("h4", {}, title), ...content];
const verbOf = (method) => element("span", { class: "method", "data-method": method }, method.toUpperCase());

function route(operation, base, schemas) {
  const { id, method, path, summary = "", description, parameters = [], requestBody, responses } = operation;
  const given = parameters.map((one) => field(one.name, one.schema, { ...one, note: one.in }));
  const bodies = Object.values(requestBody?.content ?? {}).map(({ schema }) => nameOf(schema));
  return element(
    "article",
    { class: "entry", id, "aria-labelledby": `${id}-title` },
    element("h3", { id: `${id}-title` }, verbOf(method), " ", element("code", {}, path)),
    element("div", { class: "summary" }, prose(summary)),
    description ? prose(description) : null,
    example(curl(operation, base, schemas), summary),
    ...(given.length ? titled("Parameters", element("dl", {}, ...given)) : []),
    ...bodies.flatMap((name) => [
      ...titled(`Body: ${shortName(name)}`, prose(schemas[name].description ?? "")),
      fields(schemas[name], { schemas, above: [name] }),
    ]),
    ...titled("Answers", element("dl", {}, ...Object.entries(responses).map(answer))),
  );
}

function schemaEntry([name, schema]) {
  return element(
    "article",
    { class: "entry", id: `schema-${name}`, "aria-labelledby": `schema-${name}-title` },
    element("h3", { id: `schema-${name}-title` }, element("code", {}, shortName(name))),
    schema.description ? prose(schema.description) : null,
    fields(schema),
  );
}

function errorRow([code, { status, retryable, title }]) {
  return element(
    "tr",
    { id: `error-${code}` },
    element("th", { scope: "row" }, element("code", {}, code)),
    element("td", {}, String(status)),
    element("td", {}, retryable ? "yes" : "no"),
    element("td", {}, `${title}.`),
  );
}

/** A path without what all have in common, that may be broken before each slash. */
function shortPath(path) {
  const steps = path.replace(/^.*\/v1(?=\/)/, "").split("/");
  return element("code", {}, ...steps.flatMap((step, index) => (index ? [element("wbr"), `/${step}`] : [step])));
}

function contentsLink(href, ...label) {
  return element("li", {}, element("a", { href }, ...label));
}

function show(described) {
  const schemas = described.components?.schemas ?? {};
  const base = new URL(described.servers?.[0]?.url ?? "", location.origin).href.replace(/\/$/, "");
  const operations = operationsOf(described);
  const contents = byId("contents");
  for (const [group] of GROUPS) {
    const members = operations.filter((operation) => operation.group === group);
    if (!members.length) continue;
    const id = `group-${group.toLowerCase().replace(" ", "-")}`;
    const routes = members.map((operation) => route(operation, base, schemas));
    const title = element("h2", { id }, group);
    byId("operations").append(element("section", { class: "group", "aria-labelledby": id }, title, ...routes));
    const links = members.map((one) => contentsLink(`#${one.id}`, verbOf(one.method), " ", shortPath(one.path)));
    contents.append(element("h2", {}, group), element("ul", {}, ...links));
  }
  byId("errors").append(...Object.entries(described["x-errors"] ?? {}).map(errorRow));
  byId("schemas").append(...Object.entries(schemas).map(schemaEntry));
  const socket = operations.find(({ path }) => path.endsWith("/v1/generations"))?.path.replace(/generations$/, "ws");
  if (socket) byId("websocket-path").textContent = socket;
  const more = [contentsLink("#websocket", "WebSocket"), contentsLink("#errors-title", "Errors")];
  const names = Object.keys(schemas).map((name) => element("li", {}, schemaLink(name)));
  for (const [title, links] of [["More", more], ["Schemas", names]]) {
    contents.append(element("h2", {}, title), element("ul", {}, ...links));
  }
  // The place in the address did not exist when the page was loaded.
  if (location.hash) byId(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

try {
  show(await load());
} catch (error) {
  byId("problem").textContent = `The reference cannot be shown: ${error.message}`;
}
