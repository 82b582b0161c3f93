/** The test vectors, read by code that shares nothing with the server: `node --test`. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const read = (path) => readFileSync(new URL(path, import.meta.url), "utf8");
// As text, because without a package.json an older Node takes a `.js` file for CommonJS.
const module_ = (path) => import(`data:text/javascript,${encodeURIComponent(read(path))}`);

const { assemble } = await module_("../../realtime/server/web/client-message.js");
const vectors = JSON.parse(read("../../transports/vectors.json"));
const bytes = (hex) => Buffer.from(hex, "hex");

/** Reads one MessagePack value; no extensions, since the protocol has none. */
function unpack(buffer) {
  let at = 0;
  const take = (size) => buffer.subarray(at, (at += size));
  const uint = (size) => Number(BigInt(`0x${take(size).toString("hex")}`));
  const int = (size) => Number(BigInt.asIntN(size * 8, BigInt(`0x${take(size).toString("hex")}`)));
  const text = (size) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(take(size));
  const list = (size) => Array.from({ length: size }, value);
  const map = (size) => Object.fromEntries(Array.from({ length: size }, () => [value(), value()]));
  function value() {
    const head = uint(1);
    if (head < 0x80) return head;
    if (head < 0x90) return map(head & 15);
    if (head < 0xa0) return list(head & 15);
    if (head < 0xc0) return text(head & 31);
    if (head >= 0xe0) return head - 256;
    switch (head) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xcb: return take(8).readDoubleBE();
      case 0xcc: case 0xcd: case 0xce: case 0xcf: return uint(1 << (head - 0xcc));
      case 0xd0: case 0xd1: case 0xd2: case 0xd3: return int(1 << (head - 0xd0));
      case 0xd9: case 0xda: case 0xdb: return text(uint(1 << (head - 0xd9)));
      case 0xdc: case 0xdd: return list(uint(2 << (head - 0xdc)));
      case 0xde: case 0xdf: return map(uint(2 << (head - 0xde)));
      default: throw new Error(`0x${head.toString(16)} is not of this protocol`);
    }
  }
  const whole = value();
  assert.equal(at, buffer.length, "bytes are left over");
  return whole;
}

/** Reads an event stream that is whole, by the standard's algorithm. */
function parse(stream) {
  const lines = new TextDecoder().decode(stream).split(/\r\n|\n|\r/).slice(0, -1);
  const events = [];
  let event = "", data = [], id = "";
  for (const line of lines) {
    if (line === "") {
      if (data.length) events.push({ event: event || "message", id, data: data.join("\n") });
      event = "";
      data = [];
      continue;
    }
    const [, name, value = ""] = /^([^:]*)(?:: ?)?(.*)$/su.exec(line);
    if (name === "event") event = value;
    else if (name === "data") data.push(value);
    else if (name === "id" && !value.includes("\0")) id = value;
  }
  return events;
}

for (const { name, epoch, seq, at, event, json, sse, ndjson, msgpack } of vectors.events) {
  test(`event: ${name}`, () => {
    const value = JSON.parse(json);
    assert.deepEqual(Object.keys(value).slice(0, 3), ["id", "type", "at"]);
    assert.deepEqual([value.id, value.at], [`${epoch}-${seq}`, at]);
    const { id: _, at: __, ...fields } = value;
    for (const [field, held] of Object.entries(fields)) {
      // In an object of the event, what was left out is at its default; it is in `usage` alone that a vector has some.
      if (field === "usage") for (const [inner, count] of Object.entries(held)) assert.equal(count, event.usage[inner]);
      else if (field === "timings") assert.equal(held.duration_ms, event.timings.duration_ms);
      else assert.deepEqual(held, event[field]);
    }
    const defaults = new Set([undefined, null, 0, false]);
    for (const field of Object.keys(event)) assert.ok(field in value || defaults.has(event[field]), field);
    assert.doesNotMatch(json, /[\n\r\v\f\u0085\u2028\u2029]/u);
    assert.deepEqual(parse(Buffer.from(sse)), [{ event: event.type, id: value.id, data: json }]);
    assert.equal(ndjson, `${json}\n`);
    assert.deepEqual(unpack(bytes(msgpack)), value);
  });
}

for (const { events, json, msgpack } of vectors.slices) {
  test(`slice of ${events.length}`, () => {
    const { type, generation, events: inside, ...rest } = JSON.parse(json);
    assert.deepEqual([type, generation, rest], ["events", vectors.generation, {}]);
    const alone = events.map((name) => JSON.parse(vectors.events.find((vector) => vector.name === name).json));
    assert.deepEqual(inside, alone);
    assert.deepEqual(unpack(bytes(msgpack)), JSON.parse(json));
  });
}

for (const [number, { frame, sse, ndjson, ws_json, ws_msgpack }] of vectors.control.entries()) {
  test(`control ${number}: ${frame.type}`, () => {
    assert.deepEqual(JSON.parse(ws_json), frame);
    assert.deepEqual(unpack(bytes(ws_msgpack)), frame);
    assert.equal(ndjson, `${ws_json}\n`);
    assert.deepEqual(parse(Buffer.from(sse)), [{ event: frame.type, id: frame.cursor ?? "", data: ws_json }]);
  });
}

test("cursors", () => {
  const form = /^([0-9a-z]{1,12})-(0|[1-9][0-9]{0,14})$/;
  for (const { text, epoch, seq } of vectors.cursors.valid) {
    const [, ...found] = form.exec(text);
    assert.deepEqual([found[0], Number(found[1])], [epoch, seq]);
    assert.ok(Number.isSafeInteger(seq));
  }
  for (const text of vectors.cursors.malformed) assert.doesNotMatch(text, form);
});

/** Section 6 of the protocol, as its table has it. */
function answer({ epoch, head, trimmed, finished }, cursor) {
  const [given, number] = cursor === null ? [epoch, trimmed] : [cursor.split("-")[0], Number(cursor.split("-")[1])];
  const whole = { status: 200, position_cursor: `${epoch}-0`, next_seq: trimmed + 1 };
  if (given !== epoch || number > head) return { ...whole, reset: "branch" };
  if (cursor === null) return { ...whole, reset: trimmed ? "trimmed" : null };
  if (number < trimmed) return { ...whole, reset: "trimmed" };
  if (finished && number === head) return { status: 204 };
  return { status: 200, reset: null, position_cursor: cursor, next_seq: number + 1 };
}

for (const { log, cursor, ...expected } of vectors.resume.cases) {
  test(`resume a ${log} log after ${cursor}`, () => {
    assert.deepEqual(answer(vectors.resume.logs[log], cursor), expected);
  });
}

/** Section 7.2: adjacent deltas of one type and part (or call) are one, with the number and time of the last. */
function merge(entries) {
  const deltas = new Set(["text", "reasoning", "refusal", "tool_arguments"]);
  const key = ({ type, part = 0, call, signature, redacted }) =>
    deltas.has(type) && signature === undefined && redacted === undefined ? JSON.stringify([type, part, call]) : null;
  return entries.reduce((merged, { seq, at, event }) => {
    const last = merged.at(-1);
    if (!last || key(event) === null || key(last.event) !== key(event)) return [...merged, { seq, at, event }];
    const text = last.event.text + event.text;
    return [...merged.slice(0, -1), { seq, at, event: { ...event, text } }];
  }, []);
}

for (const { name, entries, merged } of vectors.merged) {
  test(`merged: ${name}`, () => {
    assert.deepEqual(merge(entries), merged);
    assert.deepEqual(assemble(merged.map(({ event }) => event)), assemble(entries.map(({ event }) => event)));
  });
}

for (const { name, events, message } of vectors.messages) {
  test(`message: ${name}`, () => {
    const numbered = events.map((event, at) => ({ id: `e-${at + 1}`, at, ...event }));
    assert.deepEqual(assemble(numbered), message);
  });
}

for (const { name, chunks, events } of vectors.sse_streams) {
  test(`stream: ${name}`, () => {
    assert.deepEqual(parse(Buffer.concat(chunks.map((chunk) => Buffer.from(chunk, "base64")))), events);
  });
}
