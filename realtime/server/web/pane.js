/**
 * One wire's view of the generation: its connection, its figures and its transcript.
 *
 * Nothing is written to the page when an event comes: it is queued, and each frame of the screen shows what is there.
 *
 * @module
 */

import { Transcript } from "./transcript.js";
import { Runner, seq } from "./race.js";
import { connectionChip, outcome, seconds, trouble } from "./phrases.js";

// Numbers that change faster than this cannot be read.
const FIGURES_MS = 200;

export class Pane {
  #realtime;
  #changed;
  #parts;
  #transcript;
  #observation = null;
  #runner = null;
  #pending = [];
  #scheduled = false;
  #figuresAt = 0;
  #place = null;
  /** Everything said, for comparison with the other panes. */ said = "";

  /**
   * @param {HTMLTemplateElement} template
   * @param {{wire: string, title: string, how: string}} about
   * @param {Realtime} realtime
   * @param {() => void} changed Called when the state, the connection or the place in the line is another.
   */
  constructor(template, about, realtime, changed) {
    this.about = about;
    this.#realtime = realtime;
    this.#changed = changed;
    this.element = template.content.cloneNode(true).firstElementChild;
    this.#parts = parts(this.element, about);
    this.#transcript = new Transcript(this.#parts.transcript);
    this.#parts.cut.addEventListener("click", () => this.toggle());
  }

  get observation() {
    return this.#observation;
  }

  get live() {
    return this.#observation !== null && this.#observation.connection !== "ended";
  }

  /** In the line, from 1; null when it stands in none, and for what is told of a line it stood in before. */
  get place() {
    const { state, cursor, head } = this.#observation;
    return state === "queued" && seq(cursor) >= seq(head) ? this.#place : null;
  }

  onStop(stop) {
    this.#parts.stop.addEventListener("click", () => stop(this.about.wire === "ws" ? "ws" : "http"));
  }

  /** Show a generation from its beginning. */
  open(generation, race, startedAt, pace) {
    this.#observation?.close();
    this.#runner = new Runner(race, startedAt);
    this.#forget();
    this.#watch(generation, pace, null);
  }

  /** Go on with another pace, from where it is. */
  setPace(pace) {
    if (!this.live) return;
    const { generation, cursor, connection } = this.#observation;
    this.#observation.close();
    this.#watch(generation, pace, cursor);
    if (connection === "disconnected") this.#observation.disconnect();
  }

  /** Cut the connection, or reconnect. */
  toggle() {
    if (!this.live) return;
    if (this.#observation.connection === "disconnected") this.#observation.reconnect();
    else this.#observation.disconnect();
  }

  #watch(generation, pace, after) {
    const observation = this.#realtime.observe(generation, {
      wire: this.about.wire,
      after: after ?? undefined,
      replay: "merged",
      pace: pace || undefined,
      onEvent: (event) => this.#take(event),
      onReset: () => this.#forget(),
      onChange: (changed) => changed === this.#observation && this.#follow(changed),
    });
    this.#observation = observation;
    this.#follow(observation);
  }

  #take(event) {
    this.#runner.saw(event, performance.now());
    if (event.type === "text" || event.type === "refusal") this.said += event.text;
    this.#pending.push(event);
    this.#schedule();
    if (event.type === "queued") this.#stand(event.position);
  }

  #stand(place) {
    this.#place = place;
    this.#changed();
  }

  #forget() {
    this.#pending = [];
    this.#place = null;
    this.said = "";
    this.#transcript.clear();
    this.#schedule();
  }

  #follow(observation) {
    if (observation.head) this.#runner.attached(observation.head);
    this.#schedule();
    this.#changed();
  }

  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame((now) => this.#show(now));
  }

  #show(now) {
    this.#scheduled = false;
    const events = this.#pending;
    this.#pending = [];
    if (events.length) this.#transcript.add(events);
    this.#showConnection();
    if (now - this.#figuresAt > FIGURES_MS || !this.live) this.#showFigures(now);
    // A pane that is silent falls behind all the same.
    if (this.live) setTimeout(() => this.#schedule(), FIGURES_MS);
  }

  #showConnection() {
    const { chip, transcript, outcome: line, cut, stop } = this.#parts;
    const { connection, problem, finished } = this.#observation;
    const { text, tone } = connectionChip(this.#observation, this.place);
    write(chip, text);
    chip.dataset.tone = tone;
    transcript.dataset.live = String(connection === "open");
    write(cut, connection === "disconnected" ? "Reconnect" : "Cut");
    cut.disabled = stop.disabled = !this.live;
    write(line, finished ? outcome(finished) : problem ? trouble(problem, this.live) : "");
  }

  #showFigures(now) {
    this.#figuresAt = now;
    const { events, ms } = this.#runner.lag;
    const rate = this.live ? this.#runner.rate(now) : this.#runner.averageRate;
    const { first, rate: rateCell, lag, cursor } = this.#parts.stats;
    write(first, this.#runner.firstMs === null ? "–" : seconds(this.#runner.firstMs));
    write(rateCell, rate === null ? "–" : `${rate.toFixed(rate < 10 ? 1 : 0)} /s`);
    write(lag, `${events} ${events === 1 ? "event" : "events"}${ms === null ? "" : ` · ${ms.toFixed(1)} ms`}`);
    write(cursor, this.#observation.cursor ?? "–");
  }
}

function parts(element, { wire, title, how }) {
  const find = (selector) => element.querySelector(selector);
  const heading = find("h2");
  element.dataset.wire = wire;
  heading.id = `pane-${wire}`;
  element.setAttribute("aria-labelledby", heading.id);
  heading.textContent = title;
  find(".how").textContent = how;
  const found = { chip: find(".chip"), transcript: find(".transcript"), outcome: find(".outcome") };
  const cells = [...element.querySelectorAll("[data-stat]")];
  const stats = Object.fromEntries(cells.map((cell) => [cell.dataset.stat, cell]));
  found.transcript.setAttribute("aria-label", `${title} transcript`);
  const [cut, stop] = [find(".cut"), find(".stop")];
  for (const button of [cut, stop]) button.setAttribute("aria-describedby", heading.id);
  return { ...found, stats, cut, stop };
}

/** Touch the page only where it changes. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
