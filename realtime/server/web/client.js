/**
 * The JavaScript client of the realtime protocol, version 1: no dependency, no build, for browsers and Node 20 and up.
 *
 *     const realtime = new Realtime("http://127.0.0.1:8000");
 *     const { id } = await realtime.start({ model: "demo/default", prompt: "Hello" });
 *     for await (const event of realtime.observe(id, { wire: "ndjson" })) {
 *       if (event.type === "text") process.stdout.write(event.text);
 *     }
 *
 * An observation outlives its connections. It keeps the cursor of the last event it handed on, comes back with it after
 * any drop, and hands on every event once, in order. It ends with `finished` and with nothing else: a connection that
 * ends before it is a broken one. Ending an observation never stops a generation; only `stop` does.
 *
 * Node 20 has neither `EventSource` (the `sse` wire then parses the stream itself) nor, without
 * `--experimental-websocket`, `WebSocket`: pass a class of your own in the options to use the `ws` wire there.
 *
 * @module
 */

import { RealtimeError, misuse, refusal, unreachable } from "./client-errors.js";
import { assemble } from "./client-message.js";
import { Observation, backoffMs } from "./client-observation.js";
import { Socket, listen, readNdjson, readSse } from "./client-wires.js";

export { Observation, RealtimeError, assemble };

/** One server. Its WebSocket, opened when first needed, is shared by all its observations on the `ws` wire. */
export class Realtime {
  #base;
  #options;
  #socket = null;

  /**
   * @param {string} [baseUrl] Where the server's `/v1` is; by default the origin of the page.
   * @param {object} [options] `headers` for every request (the `sse` wire then uses fetch, as `EventSource` can carry
   *   none), `silenceMs` without a frame or heartbeat after which a connection counts as broken, and replacements for
   *   the global `fetch`, `EventSource` and `WebSocket`.
   */
  constructor(baseUrl = globalThis.location?.origin, options = {}) {
    this.#base = String(baseUrl).replace(/\/$/, "");
    const { fetch, EventSource, WebSocket } = globalThis;
    const here = { fetch: fetch.bind(globalThis), EventSource, WebSocket };
    this.#options = { headers: null, silenceMs: 45_000, ...here, ...options };
  }

  /**
   * Start a generation. It carries an idempotency key, so a start whose answer was lost is tried again safely.
   *
   * @returns {Promise<object>} The resource: `id`, `state`, `model`, `cursor`, `links`.
   */
  async start(request, { idempotencyKey = randomKey(), signal } = {}) {
    const call = {
      method: "POST",
      body: JSON.stringify(request),
      headers: { "Content-Type": "application/json", "Idempotency-Key": idempotencyKey },
      signal,
    };
    for (let failures = 0; ; failures += 1) {
      try {
        return await this.#json("/v1/generations", call);
      } catch (error) {
        if (error.code !== "unreachable" || failures === 2) throw error;
        await sleep(backoffMs(failures), signal);
      }
    }
  }

  /**
   * Watch a generation on one wire; the connection is opened at once.
   *
   * @param {string} generation
   * @param {object} [options] See `ObserveOptions` in client.d.ts.
   * @returns {Observation}
   */
  observe(generation, { wire = "sse", replay, view, pace, flushMs, ...options } = {}) {
    const wires = { sse: this.#sse, ndjson: this.#ndjson, ws: this.#ws };
    if (!Object.hasOwn(wires, wire)) throw new TypeError(`wire is "sse", "ndjson" or "ws", not ${wire}`);
    const fixed = { replay, view, pace: pace === undefined ? pace : String(pace), flush_ms: flushMs };
    const connect = (after, signal, sink) => wires[wire].call(this, generation, { after, ...fixed }, signal, sink);
    return new Observation(generation, connect, { silenceMs: this.#options.silenceMs, ...options });
  }

  /**
   * Ask for a generation to end; safe to repeat. `wire: "ws"` asks over the shared socket.
   *
   * @returns {Promise<{state: string, outcome: string | null}>} The state it found.
   */
  async stop(generation, { wire = "http", signal } = {}) {
    if (wire !== "ws") return this.#json(`${this.#path(generation)}/stop`, { method: "POST", signal });
    return this.#shared().command("stop", { generation });
  }

  /** The resource, with the whole message so far. */
  get(generation, { signal } = {}) {
    return this.#json(this.#path(generation), { signal });
  }

  /** Generations of this caller, newest first: `{generations, next}`. */
  list({ limit, before, conversation, signal } = {}) {
    return this.#json(`/v1/generations${query({ limit, before, conversation })}`, { signal });
  }

  /** Which generation of a conversation is active, and which is the latest. */
  conversation(conversation, { signal } = {}) {
    return this.#json(`/v1/conversations/${encodeURIComponent(conversation)}`, { signal });
  }

  /** The models that the server's providers offer. */
  async models({ signal } = {}) {
    return (await this.#json("/v1/models", { signal })).models;
  }

  #path(generation) {
    return `/v1/generations/${encodeURIComponent(generation)}`;
  }

  #events(generation, fields) {
    return `${this.#path(generation)}/events${query(fields)}`;
  }

  #shared() {
    const { WebSocket } = this.#options;
    if (!WebSocket) throw misuse("There is no WebSocket here; pass one in the options.");
    if (!this.#socket?.usable) {
      const url = `${this.#base.replace(/^http/, "ws")}/v1/ws`;
      this.#socket = new Socket(new WebSocket(url, "realtime.v1.json"));
    }
    return this.#socket;
  }

  async #fetch(path, { headers, ...init }) {
    let response;
    try {
      const all = { ...this.#options.headers, ...headers };
      response = await this.#options.fetch(this.#base + path, { cache: "no-store", ...init, headers: all });
    } catch (error) {
      throw init.signal?.aborted ? error : unreachable();
    }
    if (!response.ok) throw await refusal(response);
    return response;
  }

  async #json(path, init) {
    return (await this.#fetch(path, init)).json();
  }

  /** The streaming response, or null when there is nothing after the cursor and never will be. */
  async #stream(path, accept, signal) {
    const response = await this.#fetch(path, { headers: { Accept: accept }, signal });
    return response.status === 204 ? null : response;
  }

  async #ndjson(generation, fields, signal, sink) {
    const response = await this.#stream(this.#events(generation, fields), "application/x-ndjson", signal);
    if (response) await readNdjson(response, signal, sink);
  }

  async #sse(generation, fields, signal, sink) {
    const { EventSource, headers } = this.#options;
    const path = this.#events(generation, fields);
    // Only a refused EventSource comes back here, and it does not say why; fetch can tell.
    if (EventSource && !headers) await listen(new EventSource(this.#base + path), signal, sink);
    const response = await this.#stream(path, "text/event-stream", signal);
    if (response) await readSse(response, signal, sink);
  }

  async #ws(generation, fields, signal, sink) {
    const hasAll = async () => (await this.get(generation, { signal })).cursor === fields.after;
    await this.#shared().observe({ generation, ...fields }, signal, sink, hasAll);
  }
}

function query(fields) {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
