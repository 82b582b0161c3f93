/**
 * What the page says, in sentences.
 *
 * @module
 */

const STATES = {
  queued: "Queued",
  starting: "Starting",
  streaming: "Streaming",
  stopping: "Stopping",
  finished: "Finished",
};
const TONES = { queued: "waiting", finished: "completed" };
const OUTCOMES = { completed: "Completed", stopped: "Stopped", failed: "Failed" };

const COMPLETED = {
  stop: "Completed.",
  length: "Completed at the token limit.",
  tool_calls: "Completed; the model waits for the results of its tool calls.",
  content_filter: "The provider's content filter ended the answer.",
  refusal: "The model declined to answer.",
  pause: "The provider paused a long turn.",
};

const STOPPED = {
  owner: "Stopped on request.",
  disconnect: "Stopped, as nobody was watching any more.",
  replaced: "Stopped to make room for the next one in its conversation.",
  server: "Stopped by the server.",
};

const ORDINALS = new Intl.PluralRules("en", { type: "ordinal" });
const ENDINGS = { one: "st", two: "nd", few: "rd", other: "th" };

/** A state or an outcome as a word, and its tone for colour. */
export function stateChip(state, outcome) {
  if (outcome) return { text: OUTCOMES[outcome], tone: outcome };
  return { text: STATES[state] ?? state, tone: TONES[state] ?? "live" };
}

/**
 * The same for an observation, whose connection may be worth more words than the state.
 *
 * @param {Observation} observation
 * @param {number | null} place In the line, from 1; null when it stands in none.
 */
export function connectionChip(observation, place) {
  const { connection, state, finished, problem, retryMs } = observation;
  if (connection === "disconnected") return { text: "Cut", tone: "cut" };
  if (connection === "waiting") return { text: `Back in ${seconds(retryMs)}`, tone: "waiting" };
  if (connection === "connecting") return { text: "Connecting", tone: "waiting" };
  if (connection === "ended" && problem && !finished) return { text: "Refused", tone: "failed" };
  if (place !== null) return { text: `${ordinal(place)} in line`, tone: "waiting" };
  return stateChip(state, finished?.outcome);
}

/** What became of a generation, with what it took. */
export function outcome(finished) {
  return `${verdict(finished)} ${figures(finished)}`.trim();
}

function verdict({ outcome, reason, native_reason, stopped_by, error }) {
  if (outcome === "completed") return COMPLETED[reason] ?? `Completed: ${native_reason ?? reason}.`;
  if (outcome === "stopped") return STOPPED[stopped_by] ?? "Stopped.";
  return `Failed: ${sentence(error)}`;
}

function figures({ usage = {}, timings }) {
  const about = usage.estimated ? "about " : "";
  const tokens = `${about}${count(usage.input_tokens ?? 0)} tokens in, ${about}${count(usage.output_tokens ?? 0)} out`;
  const reasoning = usage.reasoning_tokens ? ` (${count(usage.reasoning_tokens)} reasoning)` : "";
  const time = timings ? `, ${seconds(timings.duration_ms)}` : "";
  return `${capital(tokens)}${reasoning}${time}.`;
}

/** An error object or exception as a sentence with its code. */
export function sentence({ message, code, retryable }) {
  const again = retryable ? " Trying again may help." : "";
  return code ? `${message}${again} (${code})` : message;
}

/** Why an observation is not connected, and whether that is for good. */
export function trouble(problem, comesBack) {
  return comesBack ? `${problem.message} It comes back by itself, at its cursor.` : sentence(problem);
}

export function count(number) {
  return number.toLocaleString("en");
}

function ordinal(number) {
  return `${count(number)}${ENDINGS[ORDINALS.select(number)]}`;
}

export function seconds(ms) {
  return ms < 995 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}
