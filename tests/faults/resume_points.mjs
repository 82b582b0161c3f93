/**
 * Observers with the JavaScript client that leave and come back at random; what each asked for and was handed, as JSON
 * lines for the history checker.
 *
 *     node resume_points.mjs <url> <url that cuts> <seed> <readers> <generation>…
 */

import { Realtime } from "../../realtime/server/web/client.js";

const [direct, cutting, seed, readers, ...generations] = process.argv.slice(2);
const WIRES = ["sse", "ndjson", "ws"];

/** Mulberry32: chance that can be had again. */
function chance(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const say = (row) => process.stdout.write(`${JSON.stringify(row)}\n`);

/** One observer: some observations that end after a few events, and one that goes to the end. */
async function walk(generation, observer, random) {
  const below = (most) => Math.floor(random() * most);
  // One socket for each, as a socket has one observation of a generation.
  const clients = [new Realtime(direct), new Realtime(cutting), new Realtime(cutting, { EventSource: undefined })];
  const place = { generation, observer, conn: 0, cursor: null, finished: false };
  for (let left = 1 + below(4); left >= 0; left -= 1) {
    await leg(clients[below(3)], place, WIRES[below(3)], left ? 1 + below(25) : Infinity, random() < 0.5);
    if (place.finished) return;
  }
}

/** One observation; it is ended, or disconnected and brought back, after so many events. */
function leg(client, place, wire, count, ends) {
  const { generation, observer } = place;
  const note = (row, fields) => say({ row, observer, conn: place.conn, generation, ...fields });
  let seen = 0;
  const observation = client.observe(generation, {
    wire,
    after: place.cursor ?? undefined,
    onEvent(event) {
      place.cursor = event.id;
      place.finished = event.type === "finished";
      note("received", { event });
      if ((seen += 1) === count) ends ? observation.close() : observation.disconnect();
    },
    onReset({ reset }) {
      place.cursor = null;
      note("reset", { reason: reset });
    },
    onChange({ connection, cursor }) {
      if (connection === "connecting") {
        place.conn += 1;
        note("open", { cursor });
      } else if (connection === "ended") note("close", { reason: place.finished ? "ended" : "left" });
      else if (connection !== "open") {
        note("close", { reason: "cut" });
        // Disconnected by us, or waiting out a back-off, which for the unlucky grows to seconds.
        observation.reconnect();
      }
    },
  });
  return observation.done;
}

const walks = generations.flatMap((generation, g) =>
  Array.from({ length: Number(readers) }, (_, n) => walk(generation, `script ${n}`, chance(Number(seed) + 1000 * g + n))),
);
await Promise.all(walks);
say({ row: "over" });
process.exit(0);
