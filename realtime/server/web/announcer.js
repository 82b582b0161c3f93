/**
 * What a screen reader is told: the turns of events, not the tokens, and never two in a breath.
 *
 * @module
 */

const APART_MS = 2000;

export class Announcer {
  #element;
  #saidAt = -Infinity;
  #timer = null;

  /** @param {HTMLElement} element A polite live region. */
  constructor(element) {
    this.#element = element;
  }

  /** Say this, soon; what is said while waiting takes its place. */
  say(text) {
    clearTimeout(this.#timer);
    const wait = Math.max(0, this.#saidAt + APART_MS - performance.now());
    this.#timer = setTimeout(() => {
      this.#saidAt = performance.now();
      this.#element.textContent = text;
    }, wait);
  }
}
