/**
 * The JavaScript client against a real server (REALTIME_URL), and scripted ones for what a real one seldom does.
 */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { connect, createServer as createTcpServer } from "node:net";
import { once } from "node:events";
import { test } from "node:test";

import { Realtime, RealtimeError, assemble } from "../../realtime/server/web/client.js";

const URL_ = process.env.REALTIME_URL;
const realtime = new Realtime(URL_);
// Node's own EventSource stands in for a browser's; without one the client parses the stream itself.
const CLIENTS = {
  sse: (url) => new Realtime(url),
  "sse by fetch": (url) => new Realtime(url, { EventSource: undefined }),
  ndjson: (url) => new Realtime(url),
  ws: (url) => new Realtime(url),
};
const NAMES = Object.keys(CLIENTS);
const wireOf = (name) => name.split(" ")[0];
const FAST = { rate: 2000, tokens: 300, seed: 1, reasoning: true, tools: true };

const begin = (options = FAST) => realtime.start({ model: "demo/default", prompt: "Hello", options });
const number = (cursor) => Number(cursor.split("-")[1]);

async function all(observation) {
  const items = [];
  for await (const item of observation) items.push(item);
  return items;
}

function isWhole(events) {
  assert.deepEqual(events.map(({ id }) => number(id)), events.map((_, index) => index + 1));
  assert.equal(events[0].type, "started");
  assert.equal(events.at(-1).type, "finished");
}

/** A TCP proxy that cuts each connection after some bytes from the server; the later ones live longer. */
async function flakyProxy(t) {
  const target = new URL(URL_);
  const sockets = new Set();
  let connections = 0;
  const proxy = createTcpServer((inner) => {
    const outer = connect(target.port, target.hostname);
    // A WebSocket catches up with one message, so it must at some time be let through.
    let left = 100 + Math.floor(Math.random() * 15_000 * (connections += 1));
    sockets.add(inner.on("error", () => {}));
    sockets.add(outer.on("error", () => {}));
    inner.pipe(outer);
    outer.on("data", (data) => {
      inner.write(data.subarray(0, left));
      left -= data.length;
      if (left <= 0) inner.destroySoon();
    });
    outer.on("close", () => inner.destroy());
    inner.on("close", () => outer.destroy());
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });
  return `http://localhost:${proxy.address().port}`;
}

/** A server that answers each request for events with the next of these. */
async function scripted(t, ...answers) {
  const seen = [];
  const server = createServer((request, response) => {
    seen.push({ url: request.url, at: performance.now() });
    answers.shift()(response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.closeAllConnections() ?? server.close());
  return { url: `http://127.0.0.1:${server.address().port}`, seen };
}

const lines = (...objects) => (response) => {
  response.writeHead(200, { "Content-Type": "application/x-ndjson" });
  response.end(objects.map((one) => (typeof one === "string" ? one : `${JSON.stringify(one)}\n`)).join(""));
};
const position = { type: "position", generation: "g", cursor: "e-0", head: "e-3", state: "streaming", reset: null };
const log = [
  { id: "e-1", type: "started", at: 0, generation: "g", model: "m/m", created_ms: 0 },
  { id: "e-2", type: "attempt", at: 1, n: 1, provider: "m", model: "m" },
  { id: "e-3", type: "finished", at: 2, outcome: "completed", reason: "stop" },
];

for (const name of NAMES) {
  const wire = wireOf(name);
  const client = CLIENTS[name](URL_);

  test(`${name}: every event once and in order, and the message that the server assembles`, async () => {
    const { id } = await begin();
    const observation = client.observe(id, { wire });
    const events = await all(observation);
    isWhole(events);
    assert.deepEqual(assemble(events), (await realtime.get(id)).message);
    assert.equal(observation.state, "finished");
    assert.equal(observation.connection, "ended");
    assert.equal((await observation.done).outcome, "completed");
  });

  test(`${name}: callbacks instead of iteration`, async () => {
    const { id } = await begin();
    const events = [];
    const changes = new Set();
    const onChange = ({ connection, state }) => changes.add(connection).add(state);
    await client.observe(id, { wire, onEvent: (event) => events.push(event), onChange }).done;
    isWhole(events);
    for (const change of ["connecting", "open", "ended"]) assert.ok(changes.has(change), change);
  });

  test(`${name}: goes on after a cursor`, async () => {
    const { id } = await begin();
    const whole = await all(client.observe(id, { wire }));
    assert.deepEqual(await all(client.observe(id, { wire, after: whole[99].id })), whole.slice(100));
  });

  test(`${name}: a cursor at the end ends at once`, async () => {
    const { id } = await begin();
    const finished = await client.observe(id, { wire, onEvent: () => {} }).done;
    const observation = client.observe(id, { wire, after: finished.id });
    assert.deepEqual(await all(observation), []);
    assert.equal(await observation.done, null);
    assert.equal(observation.state, "finished");
  });

  test(`${name}: a merged replay has the same text in fewer events`, async () => {
    const { id } = await begin();
    const whole = await all(client.observe(id, { wire }));
    const merged = await all(client.observe(id, { wire, replay: "merged" }));
    assert.deepEqual(assemble(merged), assemble(whole));
    assert.ok(merged.length < 10, merged.length);
  });

  test(`${name}: a foreign cursor is told by a reset, then everything comes`, async () => {
    const { id } = await begin();
    const [reset, ...events] = await all(client.observe(id, { wire, after: "abc-5" }));
    assert.equal(reset.type, "position");
    assert.equal(reset.reset, "branch");
    isWhole(events);
  });

  test(`${name}: json frames come between events`, async () => {
    const options = { rate: 400, seed: 3 };
    const { id } = await realtime.start({ model: "demo/json", prompt: "Hello", options });
    const items = await all(client.observe(id, { wire, view: "json" }));
    const frames = items.filter(({ type }) => type === "json");
    assert.ok(frames.length > 0);
    isWhole(items.filter(({ type }) => type !== "json"));
  });

  test(`${name}: an unknown generation is refused`, async () => {
    const observation = client.observe("0".repeat(32), { wire });
    await assert.rejects(all(observation), { name: "RealtimeError", code: "not_found", retryable: false });
    await assert.rejects(observation.done, RealtimeError);
  });

  test(`${name}: nothing is lost or repeated over connections that break`, async (t) => {
    const { id } = await begin({ rate: 1500, tokens: 1500, seed: 2 });
    const observation = CLIENTS[name](await flakyProxy(t)).observe(id, { wire });
    const events = await all(observation);
    isWhole(events);
    assert.deepEqual(assemble(events), (await realtime.get(id)).message);
  });

  test(`${name}: disconnect and reconnect`, async () => {
    const { id } = await begin({ rate: 300, tokens: 200 });
    const events = [];
    const states = [];
    const observation = client.observe(id, {
      wire,
      onEvent: (event) => events.push(event) === 50 && observation.disconnect(),
      onChange: ({ connection }) => {
        if (states.at(-1) !== connection) states.push(connection);
        if (connection === "disconnected") setTimeout(() => observation.reconnect(), 100);
      },
    });
    await observation.done;
    isWhole(events);
    assert.deepEqual(states, ["connecting", "open", "disconnected", "connecting", "open", "ended"]);
    assert.equal(observation.problem, null);
  });

  test(`${name}: leaving the loop leaves the generation running`, async () => {
    const { id } = await begin({ rate: 200, tokens: 2000 });
    const observation = client.observe(id, { wire });
    for await (const event of observation) if (event.type === "text") break;
    assert.equal(observation.connection, "ended");
    assert.equal((await realtime.stop(id, { wire: wire === "ws" ? "ws" : "http" })).state, "stopping");
    assert.equal((await client.observe(id, { wire, onEvent: () => {} }).done).stopped_by, "owner");
  });

  test(`${name}: a signal ends an observation`, async () => {
    const { id } = await begin({ rate: 20, tokens: 2000 });
    const controller = new AbortController();
    const observation = client.observe(id, { wire, signal: controller.signal, onEvent: () => controller.abort() });
    assert.equal(await observation.done, null);
    assert.equal(observation.connection, "ended");
    await realtime.stop(id);
  });
}

test("several generations share one socket, and each pace is its observation's own", async () => {
  let opened = 0;
  const Counted = class extends WebSocket {
    constructor(...given) {
      super(...given);
      opened += 1;
    }
  };
  const client = new Realtime(URL_, { WebSocket: Counted });
  const ids = (await Promise.all([begin(), begin(), begin()])).map(({ id }) => id);
  const observations = ids.map((id, index) => client.observe(id, { wire: "ws", pace: 1000 * (index + 1) }));
  const logs = await Promise.all(observations.map(all));
  logs.forEach(isWhole);
  assert.deepEqual(logs.map(([started]) => started.generation), ids);
  assert.equal(opened, 1);
});

test("a second observation of a generation on one socket is refused, and harms nobody", async () => {
  const { id } = await begin({ rate: 300, tokens: 100 });
  const first = realtime.observe(id, { wire: "ws" });
  const second = realtime.observe(id, { wire: "ws", onEvent: () => {} });
  await assert.rejects(second.done, { code: "misuse" });
  isWhole(await all(first));
});

test("a start is idempotent by its key, and a refusal names its code", async () => {
  const request = { model: "demo/default", prompt: "Once", options: { tokens: 5 } };
  const { id } = await realtime.start(request, { idempotencyKey: "k1" });
  assert.equal((await realtime.start(request, { idempotencyKey: "k1" })).id, id);
  await assert.rejects(realtime.start({ ...request, prompt: "Twice" }, { idempotencyKey: "k1" }), {
    code: "idempotency_mismatch",
    status: 422,
    message: /./,
  });
});

test("models, lists and conversations", async () => {
  assert.ok((await realtime.models()).some(({ id }) => id === "demo/default"));
  const conversation = `talk:${process.pid}`;
  const { id } = await realtime.start({ model: "demo/default", prompt: "Hello", conversation, options: FAST });
  await realtime.observe(id, { onEvent: () => {} }).done;
  assert.deepEqual(await realtime.conversation(conversation), { conversation, active: null, latest: id });
  const { generations } = await realtime.list({ conversation });
  assert.deepEqual(generations.map((one) => one.id), [id]);
});

test("a server that cannot be reached is one error on every call", async () => {
  const nowhere = new Realtime("http://127.0.0.1:9");
  await assert.rejects(nowhere.get("x"), { code: "unreachable", retryable: true });
  await assert.rejects(nowhere.start({}), { code: "unreachable" });
});

test("an end without finished is a broken connection, and a line that was cut is not read", async (t) => {
  const cut = JSON.stringify(log[2]).slice(0, -1);
  const server = await scripted(t, lines(position, log[0], log[1], cut), lines(position, ...log));
  assert.deepEqual(await all(new Realtime(server.url).observe("g", { wire: "ndjson" })), log);
  assert.deepEqual(server.seen.map(({ url }) => url.split("?")[1]), [undefined, "after=e-2"]);
});

test("a bye is honoured: back after its time, not before", async (t) => {
  const bye = { type: "bye", reason: "draining", retry_ms: 150 };
  const server = await scripted(t, lines(position, log[0], bye), lines(position, log[1], log[2]));
  assert.deepEqual(await all(new Realtime(server.url).observe("g", { wire: "ndjson" })), log);
  assert.ok(server.seen[1].at - server.seen[0].at >= 145);
});

test("an overloaded server is asked again when it says", async (t) => {
  const problem = { code: "overloaded", detail: "Full.", message: "Full.", retryable: true, retry_after_s: 0.1 };
  const refuse = (response) => response.writeHead(503).end(JSON.stringify(problem));
  const proxyError = (response) => response.writeHead(502).end("<html>");
  const server = await scripted(t, refuse, proxyError, lines(position, ...log));
  const problems = [];
  const onChange = ({ connection, problem }) => connection === "waiting" && problems.push(problem.code);
  const events = [];
  const onEvent = (event) => events.push(event);
  await new Realtime(server.url).observe("g", { wire: "ndjson", onChange, onEvent }).done;
  assert.deepEqual(events, log);
  assert.deepEqual(problems, ["overloaded", "http_502"]);
  assert.ok(server.seen[1].at - server.seen[0].at >= 95);
});

test("the state follows the events, back into the line after a try that failed too, and each is told", async (t) => {
  const [started, attempt, finished] = log;
  const queued = { type: "queued", at: 1, position: 1 };
  const told = [started, queued, attempt, queued, attempt, { type: "text", at: 1, text: "a" }, finished];
  const events = told.map((event, index) => ({ ...event, id: `e-${index + 1}` }));
  const server = await scripted(t, lines({ ...position, head: "e-0", state: "queued" }, ...events));
  const states = [];
  const onChange = ({ state }) => state !== states.at(-1) && states.push(state);
  await new Realtime(server.url).observe("g", { wire: "ndjson", onChange, onEvent: () => {} }).done;
  assert.deepEqual(states, ["queued", "starting", "queued", "starting", "streaming", "finished"]);
});

test("a reset in mid-stream asks the consumer to forget", async (t) => {
  const reset = { ...position, reset: "branch", cursor: "f-0", head: "f-1" };
  const other = log.map((event) => ({ ...event, id: event.id.replace("e", "f") }));
  const server = await scripted(t, lines(position, log[0], log[1], reset, ...other));
  let events = [];
  const onReset = () => (events = []);
  await new Realtime(server.url).observe("g", { wire: "ndjson", onReset, onEvent: (event) => events.push(event) }).done;
  assert.deepEqual(events, other);
});

test("silence is a broken connection", async (t) => {
  const hang = (response) => response.writeHead(200).write(`${JSON.stringify(position)}\n`);
  const server = await scripted(t, hang, lines(position, ...log));
  assert.deepEqual(await all(new Realtime(server.url, { silenceMs: 100 }).observe("g", { wire: "ndjson" })), log);
});

test("headers travel with every request, and SSE then goes by fetch", async (t) => {
  const keys = [];
  const server = createServer((request, response) => {
    keys.push(request.headers["x-key"]);
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    const frames = [position, ...log].map((one) => `event: ${one.type}\ndata: ${JSON.stringify(one)}\n\n`);
    response.end(`retry: 10\n\n${frames.join("")}`);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.closeAllConnections() ?? server.close());
  const client = new Realtime(`http://127.0.0.1:${server.address().port}/`, { headers: { "X-Key": "secret" } });
  assert.deepEqual(await all(client.observe("g", { wire: "sse" })), log);
  assert.deepEqual(keys, ["secret"]);
});
