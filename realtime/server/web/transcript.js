/**
 * Events as a page of text: one block per part, in the order in which they began.
 *
 * What a model says is never markup here: only `textContent` and text nodes are written.
 *
 * @module
 */

// A browser lays out a paragraph anew when it grows, so a long text is kept in pieces of about this size.
const PIECE_CHARS = 4000;
// A reader this close to the end wants to follow it.
const FOLLOW_PX = 48;

const LABELS = { reasoning: "Reasoning", refusal: "Refusal" };

export class Transcript {
  #root;
  #blocks = new Map();

  /** @param {HTMLElement} root A scrolling element. */
  constructor(root) {
    this.#root = root;
  }

  /** Show more events; to be called once a frame. */
  add(events) {
    const { scrollHeight, scrollTop, clientHeight } = this.#root;
    const follow = scrollHeight - scrollTop - clientHeight < FOLLOW_PX;
    let run = null;
    for (const event of events) {
      const write = this.#writer(event);
      if (run && run.write === write) run.text += event.text;
      else {
        run?.write(run.text);
        run = write && { write, text: event.text };
      }
    }
    run?.write(run.text);
    if (follow) this.#root.scrollTop = this.#root.scrollHeight;
  }

  clear() {
    this.#root.replaceChildren();
    this.#blocks.clear();
  }

  /** What a delta's text goes to; an event without text is shown here and now. */
  #writer(event) {
    switch (event.type) {
      case "text":
      case "reasoning":
      case "refusal":
        return this.#block(`${event.type} ${event.part ?? 0}`, event.type, LABELS[event.type], "div");
      case "tool_arguments":
        return this.#block(`tool ${event.call}`, "tool", "Tool call", "pre");
      case "tool_call":
        this.#block(`tool ${event.call}`, "tool", `Tool call: ${event.name}`, "pre");
        return null;
      default:
        this.#note(event);
        return null;
    }
  }

  #block(key, kind, label, tag) {
    if (!this.#blocks.has(key)) {
      const block = element("section", kind);
      if (label) block.append(element("h3", "", label));
      this.#root.append(block);
      this.#blocks.set(key, grower(block, tag));
    }
    return this.#blocks.get(key);
  }

  #note(event) {
    const text = NOTES[event.type]?.(event);
    if (text === undefined) return;
    const note = element("section", "note");
    note.append(element("h3", "", text), element("pre", "", DETAILS[event.type](event)));
    this.#root.append(note);
  }
}

const NOTES = {
  tool_result: ({ is_error }) => (is_error ? "Tool failed" : "Tool result"),
  source: ({ title }) => `Source: ${title ?? "untitled"}`,
  file: ({ name, media_type }) => `File: ${name ?? "unnamed"} (${media_type})`,
  data: ({ name }) => `Data: ${name}`,
  extra: ({ kind }) => `Extra: ${kind}`,
};

const DETAILS = {
  tool_result: ({ content }) => plain(content),
  source: ({ url }) => url ?? "",
  file: ({ url }) => url ?? "embedded",
  data: ({ value }) => plain(value),
  extra: ({ value }) => plain(value),
};

/** A function that appends text to a block, in a new piece when the last is long and a line ends. */
function grower(block, tag) {
  let node = null;
  return (text) => {
    const cut = node && node.length > PIECE_CHARS ? text.lastIndexOf("\n") + 1 : 0;
    if (cut) node.appendData(text.slice(0, cut));
    if (!node || cut) {
      node = document.createTextNode("");
      const piece = element(tag, "piece");
      piece.append(node);
      block.append(piece);
    }
    node.appendData(text.slice(cut));
  };
}

function plain(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}
