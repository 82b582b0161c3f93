/**
 * The list of generations that can be opened again.
 *
 * @module
 */

import { stateChip } from "./phrases.js";

const SHOWN = 12;

export class Recents {
  #realtime;
  #list = document.getElementById("recents");
  #empty = document.getElementById("recents-empty");

  /** @param {Realtime} realtime */
  constructor(realtime) {
    this.#realtime = realtime;
  }

  /** Ask the server again and mark the one that is open. */
  async refresh(current) {
    const { generations } = await this.#realtime.list({ limit: SHOWN });
    this.#list.replaceChildren(...generations.map((generation) => row(generation, generation.id === current)));
    this.#empty.hidden = generations.length > 0;
  }
}

function row({ id, model, state, outcome, created_ms }, isCurrent) {
  const link = document.createElement("a");
  link.href = `#${id}`;
  if (isCurrent) link.setAttribute("aria-current", "true");
  const { text, tone } = stateChip(state, outcome);
  const chip = cell("span", "chip", text);
  chip.dataset.tone = tone;
  const time = cell("time", "muted", new Date(created_ms).toLocaleTimeString());
  time.dateTime = new Date(created_ms).toISOString();
  link.append(chip, cell("span", "model", model), cell("code", "", id.slice(0, 8)), time);
  const item = document.createElement("li");
  item.append(link);
  return item;
}

function cell(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}
