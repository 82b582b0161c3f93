/**
 * JSON Schema as a reader wants it: the type in a few words, what else is demanded, and the fields within.
 *
 * @module
 */

const number = (value) => value.toLocaleString("en");
const LIMITS = {
  minimum: (value) => `at least ${number(value)}`,
  exclusiveMinimum: (value) => `more than ${number(value)}`,
  maximum: (value) => `at most ${number(value)}`,
  minLength: (value) => `at least ${number(value)} ${value === 1 ? "character" : "characters"}`,
  maxLength: (value) => `at most ${number(value)} characters`,
  maxItems: (value) => `at most ${number(value)} items`,
};
// More values than these are folded.
const MANY = 8;

/** An element with attributes and children; everything a document says becomes text. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** Prose with `code` in backquotes. */
export function prose(text) {
  const pieces = text.split("`").map((piece, index) => (index % 2 ? element("code", {}, piece) : piece));
  return element("p", {}, ...pieces);
}

export const nameOf = ({ $ref }) => $ref.slice($ref.lastIndexOf("/") + 1);
export const shortName = (name) => name.slice(name.lastIndexOf(".") + 1);
export const schemaLink = (name) => element("a", { href: `#schema-${name}` }, shortName(name));

/** What a schema may be, but for null: of an optional field that goes without saying. */
const choices = (schema) => (schema.anyOf ?? [schema]).filter(({ type }) => type !== "null");

/** The type as nodes; named ones are links. */
export function typeOf(schema) {
  return choices(schema).flatMap((one, index) => [...(index ? [" or "] : []), ...simpleType(one)]);
}

function simpleType(schema) {
  if (schema.$ref) return [schemaLink(nameOf(schema))];
  if (schema.enum?.length > MANY) return ["string"];
  if (schema.enum) return [schema.enum.map((one) => JSON.stringify(one)).join(" | ")];
  if (schema.type === "array") return ["array of ", ...typeOf(schema.items ?? {})];
  return [schema.type ?? "any JSON"];
}

/** What is demanded beside the type, as words and code. */
function demands(schema) {
  return choices(schema).flatMap((one) => {
    const limits = Object.entries(LIMITS).flatMap(([name, say]) => (name in one ? [[say(one[name])]] : []));
    // A look-ahead that only Python needs.
    if (one.pattern) limits.push(["matches ", element("code", {}, one.pattern.replace("(?!\\n)", ""))]);
    const ofItems = one.type === "array" ? demands(one.items ?? {}) : [];
    return [...limits, ...ofItems.map((words) => ["each ", ...words])];
  });
}

function facts(schema, { required, note }) {
  const { default: value } = schema;
  const usual = value === undefined || value === null ? "optional" : `default ${JSON.stringify(value)}`;
  return [[note], [required ? "required" : usual], ...demands(schema)]
    .filter(([first]) => first)
    .flatMap((words, index) => (index ? [", ", ...words] : words));
}

/** Named schemas that a schema is made of, at one remove. */
function parts(schema) {
  return choices(schema).flatMap((one) => {
    if (one.$ref) return [nameOf(one)];
    return one.type === "array" ? parts(one.items ?? {}) : [];
  });
}

/**
 * A row of a list of fields.
 *
 * @param schemas The named schemas to unfold below the field; without them there are only links.
 */
export function field(name, schema, { required = false, note = "", description, schemas = {}, above = [] } = {}) {
  const said = description ?? schema.description ?? schema.anyOf?.find((one) => one.description)?.description;
  const values = choices(schema).find((one) => one.enum?.length > MANY)?.enum;
  const within = parts(schema).filter((part) => schemas[part] && !above.includes(part));
  const detail = element(
    "dd",
    {},
    element("code", { class: "type" }, ...typeOf(schema)),
    element("span", { class: "facts" }, ...facts(schema, { required, note })),
    said ? prose(said) : null,
    values ? folded(`${values.length} values`, element("p", {}, element("code", {}, values.join(", ")))) : null,
    ...within.map((part) => {
      return folded(`Fields of ${shortName(part)}`, fields(schemas[part], { schemas, above: [...above, part] }));
    }),
  );
  return element("div", {}, element("dt", {}, element("code", {}, name)), detail);
}

function folded(title, content) {
  return element("details", {}, element("summary", {}, title), content);
}

/** All fields of an object. */
export function fields({ properties = {}, required = [] }, options = {}) {
  const rows = Object.entries(properties).map(([name, one]) => {
    return field(name, one, { ...options, required: required.includes(name) });
  });
  return element("dl", {}, ...rows);
}
