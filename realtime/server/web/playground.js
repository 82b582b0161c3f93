/**
 * The playground: one generation, watched over three wires at once.
 *
 * The generation's id is in the address, so a reload, a bookmark and the back button all find it again.
 *
 * @module
 */

import { Realtime } from "./client.js";
import { Composer } from "./composer.js";
import { Pane } from "./pane.js";
import { connectionChip, count, sentence } from "./phrases.js";
import { Race } from "./race.js";
import { Recents } from "./recents.js";
import { Announcer } from "./announcer.js";

const WIRES = [
  { wire: "sse", title: "SSE", how: "EventSource" },
  { wire: "ndjson", title: "NDJSON", how: "fetch" },
  { wire: "ws", title: "WebSocket", how: "realtime.v1.json" },
];

const byId = (id) => document.getElementById(id);
const realtime = new Realtime();
const announcer = new Announcer(byId("announcements"));
const recents = new Recents(realtime);
const panes = WIRES.map((about) => new Pane(byId("pane"), about, realtime, follow));
const composer = new Composer({ start, pace: () => panes.forEach((pane) => pane.setPace(composer.pace)) });

const isPhone = matchMedia("(max-width: 48rem)");

let current = null;
let ended = false;
/** The last place in the line that was announced. */
let announced = null;

function guard(action) {
  return async (...args) => {
    byId("problem").textContent = "";
    try {
      await action(...args);
    } catch (error) {
      byId("problem").textContent = sentence(error);
    }
  };
}

async function start() {
  const button = byId("start");
  button.disabled = true;
  await guard(async () => {
    const startedAt = performance.now();
    const { id } = await realtime.start(composer.request());
    open(id, startedAt);
    if (isPhone.matches) byId("generation").scrollIntoView();
    history.pushState(null, "", `#${id}`);
    announcer.say("Started.");
  })();
  button.disabled = false;
}

/** Watch a generation from its beginning on every wire. */
function open(generation, startedAt = null) {
  current = generation;
  ended = false;
  announced = null;
  const race = new Race();
  byId("generation").hidden = false;
  byId("generation-id").textContent = generation;
  byId("generation-model").textContent = "";
  byId("verdict").textContent = "";
  for (const pane of panes) pane.open(generation, race, startedAt, composer.pace);
  guard(describe)(generation);
}

async function describe(generation) {
  const { model } = await realtime.get(generation);
  if (generation === current) byId("generation-model").textContent = model;
  await recents.refresh(current);
}

const stop = guard(async (wire) => {
  if (!panes.some((pane) => pane.live)) return;
  announcer.say("Stopping.");
  await realtime.stop(current, { wire });
});

/** Called for every change of any pane. */
function follow() {
  const watching = panes.filter(({ observation }) => observation?.generation === current);
  if (!watching.length) return;
  const over = watching.find(({ observation }) => observation.finished);
  const connected = watching.find(({ observation }) => observation.connection === "open");
  const { observation, place } = over ?? connected ?? watching[0];
  const { text, tone } = connectionChip(observation, place);
  byId("generation-state").textContent = text;
  byId("generation-state").dataset.tone = tone;
  byId("stop").disabled = !panes.some(({ live }) => live);
  announcePlace(place, observation.state, text);
  if (!ended && watching.length === panes.length && panes.every(({ live }) => !live)) finish(text);
}

function announcePlace(place, state, text) {
  const isServed = state === "starting" || state === "streaming";
  if (place === announced || (place === null && !isServed)) return;
  announced = place;
  announcer.say(place === null ? "Its turn has come." : `${text}.`);
}

function finish(text) {
  ended = true;
  const finished = panes.filter(({ observation }) => observation.finished);
  if (finished.length === panes.length) byId("verdict").textContent = comparison();
  announcer.say(`${text}. ${byId("verdict").textContent}`);
  guard(() => recents.refresh(current))();
}

function comparison() {
  const [first, ...others] = panes;
  const same = others.every((pane) => pane.said === first.said && pane.observation.cursor === first.observation.cursor);
  if (!same) return "The three wires did not show the same text.";
  return `All three wires showed the same ${count(first.said.length)} characters.`;
}

function openFromAddress() {
  const id = location.hash.slice(1);
  if (/^[0-9a-f]{32}$/.test(id) && id !== current) open(id);
}

function onKey(event) {
  if (byId("shortcuts").open) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) composer.submit();
  else if (event.key === "Escape") stop("http");
  else if (event.altKey && /^Digit[123]$/.test(event.code)) panes[event.code.at(-1) - 1].toggle();
  else return;
  event.preventDefault();
}

for (const pane of panes) pane.onStop(stop);
byId("panes").append(...panes.map(({ element }) => element));
byId("stop").addEventListener("click", () => stop("http"));
byId("refresh").addEventListener("click", guard(() => recents.refresh(current)));
byId("show-shortcuts").addEventListener("click", () => byId("shortcuts").showModal());
byId("hide-shortcuts").addEventListener("click", () => byId("shortcuts").close());
addEventListener("keydown", onKey);
addEventListener("hashchange", openFromAddress);
guard(async () => composer.offer(await realtime.models()))();
guard(() => recents.refresh(current))();
openFromAddress();
