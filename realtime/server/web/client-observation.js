/**
 * How a client stays with a generation: cursor, dropped connections, and what the consumer is told.
 *
 * @module
 */

import { RealtimeError, broken } from "./client-errors.js";

const RETRY_BASE_MS = 250;
const RETRY_CAP_MS = 15_000;

/**
 * One generation as one observer sees it. Iterate it for its events (and `json` frames, and a `position` with `reset`,
 * on which the reader forgets what it has), or give `onEvent`, `onJson` and `onReset`; not both.
 */
export class Observation {
  /** Cursor of the last event handed on. */ cursor;
  /** Cursor of the log's last event when this connection attached. */ head = null;
  /** State of the generation as far as this observer knows. */ state = "queued";
  /** `connecting`, `open`, `waiting` (for `retryMs`), `disconnected` or `ended`. */ connection = "connecting";
  /** How long it waits before it comes back. */ retryMs = 0;
  /** Why it is not connected: a RealtimeError or null. */ problem = null;
  /** The terminal event. */ finished = null;
  /** Resolves with the terminal event, or null if a cursor already at the end was given; rejects if refused. */ done;

  #options;
  #connect;
  #attempt = null;
  #wanted = true;
  #wake = () => {};
  #queue = [];
  #arrived = () => {};
  #seen = 0;
  #retryBaseMs = RETRY_BASE_MS;
  #bye = null;

  constructor(generation, connect, options) {
    this.generation = generation;
    this.cursor = options.after ?? null;
    this.#connect = connect;
    this.#options = options;
    options.signal?.addEventListener("abort", () => this.close(), { once: true });
    this.done = this.#run();
    this.done.catch(() => {});
  }

  /** Drop the connection and stay away until `reconnect`; the generation goes on. */
  disconnect() {
    this.#wanted = false;
    this.#attempt?.abort();
    this.#wake();
  }

  /** Come back at the cursor, now. */
  reconnect() {
    this.#wanted = true;
    this.#wake();
  }

  /** End the observation for good; the generation goes on. */
  close() {
    if (this.connection !== "ended") this.#end();
  }

  async *[Symbol.asyncIterator]() {
    try {
      while (this.#queue.length || this.connection !== "ended") {
        const batch = this.#queue;
        this.#queue = [];
        yield* batch;
        if (!this.#queue.length && this.connection !== "ended") await this.#arrival();
      }
      await this.done;
    } finally {
      this.close();
    }
  }

  #arrival() {
    return new Promise((resolve) => (this.#arrived = resolve));
  }

  async #run() {
    let failures = 0;
    // The caller has the observation in hand before its first callback.
    await null;
    while (this.connection !== "ended") {
      if (!this.#wanted) {
        this.problem = null;
        failures = 0;
        await this.#pause("disconnected");
        continue;
      }
      const from = this.cursor;
      const problem = await this.#once();
      if (this.connection === "ended") break;
      this.problem = problem;
      if (!problem) {
        this.state = "finished";
        this.#end();
        break;
      }
      if (!problem.retryable) {
        this.#end();
        throw problem;
      }
      failures = this.cursor === from ? failures + 1 : 0;
      this.retryMs = this.#bye?.retry_ms ?? retryAfterMs(problem) ?? backoffMs(failures, this.#retryBaseMs);
      if (this.#wanted) await this.#pause("waiting", this.retryMs);
    }
    return this.finished;
  }

  /** One connection, from its opening to its end; null when there is nothing more to come. */
  async #once() {
    const attempt = (this.#attempt = new AbortController());
    this.#bye = null;
    this.#seen = Date.now();
    this.#change("connecting");
    const watch = setInterval(() => {
      if (Date.now() - this.#seen > this.#options.silenceMs) attempt.abort();
    }, this.#options.silenceMs / 4);
    try {
      const sink = {
        receive: (frame) => attempt.signal.aborted || this.#receive(frame),
        retry: (ms) => (this.#retryBaseMs = ms),
        alive: () => (this.#seen = Date.now()),
      };
      await this.#connect(this.cursor ?? undefined, attempt.signal, sink);
      return null;
    } catch (error) {
      return error instanceof RealtimeError ? error : broken();
    } finally {
      clearInterval(watch);
      attempt.abort();
    }
  }

  #receive(frame) {
    this.#seen = Date.now();
    if (this.connection !== "open") this.#opened();
    if (frame.type === "position") this.#place(frame);
    else if (frame.type === "json") this.#hand(frame, this.#options.onJson);
    else if (frame.type === "bye") this.#leave(frame);
    else if (frame.id && seq(frame.id) > seq(this.cursor)) this.#take(frame);
  }

  #opened() {
    this.problem = null;
    this.#change("open");
  }

  #leave(bye) {
    this.#bye = bye;
    this.#attempt.abort();
  }

  #place(position) {
    this.state = position.state;
    this.head = position.head;
    this.cursor ??= position.cursor;
    if (position.reset) {
      this.cursor = position.cursor;
      this.#hand(position, this.#options.onReset);
    }
    this.#call(this.#options.onChange, this);
    // Nothing follows: the whole of a finished log was known already.
    if (position.state === "finished" && position.cursor === position.head) this.#end();
  }

  #take(event) {
    this.cursor = event.id;
    if (event.type === "finished") this.finished = event;
    const before = this.state;
    this.state = nextState(before, event.type);
    this.#hand(event, this.#options.onEvent);
    if (this.finished) this.#end();
    else if (this.state !== before) this.#call(this.#options.onChange, this);
  }

  #hand(item, callback) {
    if (callback) this.#call(callback, item);
    else if (!this.#options.onEvent) this.#queue.push(item);
    this.#arrived();
  }

  /** A consumer's mistake is reported as its own, not taken for a broken connection. */
  #call(callback, value) {
    try {
      callback?.(value);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  #change(connection) {
    this.connection = connection;
    this.#call(this.#options.onChange, this);
  }

  #end() {
    if (this.connection === "ended") return;
    this.#change("ended");
    this.#attempt?.abort();
    this.#wake();
    this.#arrived();
  }

  async #pause(connection, ms) {
    const woken = new Promise((resolve) => (this.#wake = resolve));
    this.#change(connection);
    const timer = ms === undefined ? undefined : setTimeout(this.#wake, ms);
    await woken;
    clearTimeout(timer);
  }
}

/** Exponential, with full jitter: clients that lost one server do not come back to it in step. */
export function backoffMs(failures, baseMs = RETRY_BASE_MS) {
  return Math.random() * Math.min(RETRY_CAP_MS, baseMs * 2 ** failures);
}

function retryAfterMs({ error }) {
  return error.retry_after_s === undefined ? undefined : error.retry_after_s * 1000;
}

function nextState(state, type) {
  if (type === "finished") return "finished";
  if (type === "started" || state === "stopping") return state;
  // It may stand in line again after a try that failed.
  if (type === "queued") return "queued";
  return type === "attempt" ? "starting" : "streaming";
}

function seq(cursor) {
  return cursor ? Number(cursor.slice(cursor.lastIndexOf("-") + 1)) : 0;
}
