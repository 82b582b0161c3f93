/**
 * How three observers of one generation compare: who was first with an event, and how far behind the others are.
 *
 * @module
 */

const MEDIAN_OF = 50;
const RATE_WINDOW_MS = 2000;
const DELTAS = new Set(["text", "reasoning", "refusal", "tool_arguments"]);

/** The number in a cursor. A page that shows its own protocol may look inside; other clients have no need to. */
export function seq(cursor) {
  return cursor ? Number(cursor.slice(cursor.lastIndexOf("-") + 1)) : 0;
}

/** What all runners share: the furthest event, and when each event was first seen by any of them. */
export class Race {
  furthest = 0;
  #firstSeen = new Map();

  /** Milliseconds since the first runner had this event. */
  lateness(number, now) {
    this.furthest = Math.max(this.furthest, number);
    if (!this.#firstSeen.has(number)) this.#firstSeen.set(number, now);
    return now - this.#firstSeen.get(number);
  }
}

/** One observer in the race. */
export class Runner {
  #race;
  #startedAt;
  #late = [];
  #recent = [];
  #liveAfter = Infinity;
  #live = 0;
  #liveFrom = 0;
  #liveTo = 0;
  last = 0;
  /** Milliseconds from Start to the first content; null when the start was not on this page. */
  firstMs = null;

  /** @param {number | null} startedAt When Start was pressed; null if it was another page that did. */
  constructor(race, startedAt) {
    this.#race = race;
    this.#startedAt = startedAt;
  }

  /** Events up to this one were there before: they say nothing about speed. */
  attached(head) {
    if (this.#liveAfter === Infinity) this.#liveAfter = seq(head);
  }

  saw(event, now) {
    this.last = seq(event.id);
    const late = this.#race.lateness(this.last, now);
    if (this.last <= this.#liveAfter) return;
    this.#late.push(late);
    if (this.#late.length > MEDIAN_OF) this.#late.shift();
    if (DELTAS.has(event.type)) this.#count(now);
  }

  #count(now) {
    if (!this.#live && this.#startedAt !== null) this.firstMs = now - this.#startedAt;
    if (!this.#live) this.#liveFrom = now;
    this.#live += 1;
    this.#liveTo = now;
    this.#recent.push(now);
  }

  /** Events behind the furthest, and the median lateness in milliseconds or null. */
  get lag() {
    const sorted = [...this.#late].sort((a, b) => a - b);
    return { events: Math.max(0, this.#race.furthest - this.last), ms: sorted[sorted.length >> 1] ?? null };
  }

  /** Deltas per second over the last moments. */
  rate(now) {
    const from = now - RATE_WINDOW_MS;
    const gone = this.#recent.findIndex((time) => time >= from);
    this.#recent = gone < 0 ? [] : this.#recent.slice(gone);
    const span = Math.min(RATE_WINDOW_MS, now - this.#liveFrom);
    return span > 250 ? (this.#recent.length * 1000) / span : null;
  }

  /** Deltas per second from the first live one to the last. */
  get averageRate() {
    const span = this.#liveTo - this.#liveFrom;
    return span > 0 ? ((this.#live - 1) * 1000) / span : null;
  }
}
