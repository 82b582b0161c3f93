/**
 * The three wires as a client hears them. Each feeds a sink (`receive(frame)`, `alive()`, `retry(ms)`) and ends by
 * rejecting when its connection is no more; that is the usual end, since a connection's end says nothing.
 *
 * @module
 */

import { RealtimeError, broken, misuse } from "./client-errors.js";

const SSE_TYPES = [
  "started", "queued", "attempt", "text", "reasoning", "refusal", "tool_call", "tool_arguments", "tool_result", "source",
  "file", "data", "extra", "finished", "position", "heartbeat", "json", "bye",
];
// Close codes that say this client is at fault: coming back would only repeat it.
const CLOSED_FOR_GOOD = new Set([1003, 1007, 1009]);

/** Reads an NDJSON body; "\n" alone ends a line. */
export async function readNdjson(response, signal, sink) {
  await readLines(response.body, signal, (line) => line && sink.receive(JSON.parse(line)));
  throw broken();
}

/** Reads an SSE body. The object repeats what `event:` and `id:` say, and is on one line: `data:` is all there is. */
export async function readSse(response, signal, sink) {
  await readLines(response.body, signal, (line) => {
    if (line.startsWith("data:")) sink.receive(JSON.parse(line.slice(5)));
    else if (/^retry: ?\d+$/.test(line)) sink.retry(Number(line.slice(6)));
  });
  throw broken();
}

async function readLines(body, signal, take) {
  const reader = body.getReader();
  // Not left to fetch, which in Node 20 forgets its signal when garbage is collected.
  signal.addEventListener("abort", () => reader.cancel().catch(() => {}), { once: true });
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    // What is left over is a line that was cut off: not to be read.
    if (done) return;
    const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = lines.pop();
    lines.forEach(take);
  }
}

/** Listens to an EventSource; resolves when it was refused, which it cannot tell from a 204. */
export function listen(source, signal, sink) {
  return new Promise((resolve, reject) => {
    for (const type of SSE_TYPES) source.addEventListener(type, ({ data }) => sink.receive(JSON.parse(data)));
    source.onerror = () => (source.readyState === source.CLOSED ? resolve() : reject(broken()));
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  }).finally(() => source.close());
}

/** The shared WebSocket: commands with their replies, and a sink for each generation observed on it. */
export class Socket {
  #socket;
  #opened;
  #commands = new Map();
  #sinks = new Map();
  #lastRef = 0;
  #usable = true;

  /** @param {WebSocket} socket */
  constructor(socket) {
    this.#socket = socket;
    this.#opened = new Promise((resolve) => (socket.onopen = resolve));
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = ({ code }) => this.#closed(code);
    // Where a handshake fails Node 20 tells of the error alone.
    socket.onerror = () => this.#closed();
  }

  /** False once it is closed, which it is as soon as nobody observes and no reply is awaited. */
  get usable() {
    return this.#usable;
  }

  command(type, fields) {
    const ref = (this.#lastRef += 1);
    const reply = new Promise((resolve, reject) => this.#commands.set(ref, { resolve, reject }));
    this.#opened.then(() => this.#socket.send(JSON.stringify({ type, ref, ...fields })));
    return reply.finally(() => this.#leave());
  }

  /**
   * Resolves when nothing will come; `hasAll` is asked when that may be, since the socket sends no sign of it: a cursor
   * at the end of a finished log is answered `ok`, and so is any other cursor of that log.
   */
  async observe(fields, signal, sink, hasAll) {
    const { generation, after } = fields;
    if (this.#sinks.has(generation)) throw misuse("One client observes a generation once on its WebSocket.");
    try {
      await new Promise((resolve, reject) => {
        this.#sinks.set(generation, { ...sink, reject });
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
        this.command("observe", fields)
          .then(async ({ state }) => state === "finished" && after && (await hasAll()) && resolve())
          .catch(reject);
      });
    } finally {
      this.#sinks.delete(generation);
      if (this.#usable && this.#sinks.size) this.command("unobserve", { generation }).catch(() => {});
      this.#leave();
    }
  }

  #receive(message) {
    const { type, generation } = message;
    const sinks = [...this.#sinks.values()];
    for (const sink of sinks) sink.alive();
    if (type === "ok" || type === "error") this.#settle(message);
    else if (type === "events") for (const event of message.events) this.#sinks.get(generation)?.receive(event);
    else for (const sink of generation ? [this.#sinks.get(generation)] : sinks) sink?.receive(message);
  }

  #settle({ type, ref, error, ...reply }) {
    const command = this.#commands.get(ref);
    this.#commands.delete(ref);
    if (type === "ok") command?.resolve(reply);
    else command?.reject(new RealtimeError(error));
  }

  #closed(code) {
    this.#usable = false;
    const error = CLOSED_FOR_GOOD.has(code) ? misuse(`The server closed the WebSocket with code ${code}.`) : broken();
    for (const { reject } of [...this.#commands.values(), ...this.#sinks.values()]) reject(error);
    this.#commands.clear();
  }

  #leave() {
    if (!this.#usable || this.#sinks.size || this.#commands.size) return;
    this.#usable = false;
    this.#socket.close(1000);
  }
}
