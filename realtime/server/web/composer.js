/**
 * The form: what to start, and how fast these panes want it.
 *
 * @module
 */

const byId = (id) => document.getElementById(id);

const FALLBACK_MODEL = "demo/default";
const NUMBERS = ["rate", "tokens", "seed", "fault-after"];

// How the options read on the closed lid of their box.
const HINTS = {
  rate: (value) => `${value} tokens per second`,
  tokens: (value) => `${value} tokens`,
  seed: (value) => `seed ${value}`,
  fault: (value) => byId("demo-fault").querySelector(`[value="${value}"]`).textContent.toLowerCase(),
  fault_after: (value) => `after ${value} tokens`,
  text: () => "a text of yours",
  reasoning: () => "reasons first",
  tools: () => "calls a tool",
};

export class Composer {
  #form = byId("composer");
  #model = byId("model");
  #other = byId("other-model");
  #pace = byId("pace");
  #demo = byId("demo");

  /** @param {{start: () => void, pace: () => void}} on */
  constructor(on) {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      on.start();
    });
    this.#form.addEventListener("input", () => this.#adapt());
    this.#pace.addEventListener("change", on.pace);
    if (/Mac|iPhone|iPad/.test(navigator.userAgent)) byId("start-keys").textContent = "⌘ ↵";
    this.offer([]);
  }

  /** Empty for as it comes. */
  get pace() {
    return this.#pace.value;
  }

  /** As if Start was pressed: the browser says what is missing. */
  submit() {
    this.#form.requestSubmit();
  }

  /** Offer these models; the first of the demo's is chosen, so that Start works at once. */
  offer(models) {
    const names = models.length ? models.map(({ id }) => id) : [FALLBACK_MODEL];
    const options = [...names, ""].map((name) => new Option(name || "Other…", name));
    this.#model.replaceChildren(...options);
    this.#model.value = names.find((name) => name.startsWith("demo/")) ?? names[0];
    this.#adapt();
  }

  /** The body of a start. */
  request() {
    const model = this.#chosen();
    const request = { model, prompt: byId("prompt").value };
    if (isDemo(model)) request.options = this.#options();
    return request;
  }

  #chosen() {
    return this.#model.value || this.#other.value.trim();
  }

  #options() {
    const options = {};
    for (const name of NUMBERS) {
      const value = byId(`demo-${name}`).value;
      if (value !== "") options[name.replace("-", "_")] = Number(value);
    }
    for (const name of ["fault", "text"]) if (byId(`demo-${name}`).value) options[name] = byId(`demo-${name}`).value;
    for (const name of ["reasoning", "tools"]) if (byId(`demo-${name}`).checked) options[name] = true;
    return options;
  }

  #adapt() {
    const isOther = this.#model.value === "";
    byId("other-model-field").hidden = !isOther;
    this.#other.required = isOther;
    this.#demo.hidden = !isDemo(this.#chosen());
    const set = Object.entries(this.#options()).map(([name, value]) => HINTS[name](value));
    byId("demo-hint").textContent = set.join(", ") || "speed, length, what goes wrong";
  }
}

function isDemo(model) {
  return model.startsWith("demo/");
}
