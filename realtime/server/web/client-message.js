/**
 * The whole message, assembled from events exactly as the server does it (`realtime/message.py`).
 *
 * @module
 */

const NO_CONTENT = new Set(["started", "queued", "attempt", "finished", "position", "heartbeat", "json", "bye"]);

/**
 * Fold the events of a log, or as many as there are, into a message: the deltas of one part become one part, what is
 * not a delta is a part of its own, and parts keep the order in which they began.
 *
 * @param {Iterable<object>} events
 * @returns {{role: "assistant", content: object[], text: string}}
 */
export function assemble(events) {
  const parts = new Map();
  for (const event of events) if (!NO_CONTENT.has(event.type)) fold(parts, event);
  const content = [...parts.values()];
  const texts = content.filter((part) => part.type === "text");
  return { role: "assistant", content, text: texts.map((part) => part.text).join("") };
}

function fold(parts, { id, at, ...event }) {
  const { type, part = 0, text, call } = event;
  switch (type) {
    case "text":
    case "refusal":
      extend(parts, `${type} ${part}`, type, "text", text);
      break;
    case "reasoning":
      Object.assign(extend(parts, `${type} ${part}`, type, "text", text), given(event, ["signature", "redacted"]));
      break;
    case "tool_call":
      extend(parts, `tool ${call}`, type, "arguments", "");
      Object.assign(parts.get(`tool ${call}`), given(event, ["call", "name", "provider_run"]));
      break;
    case "tool_arguments":
      extend(parts, `tool ${call}`, "tool_call", "arguments", text);
      break;
    default:
      parts.set(parts.size, event);
  }
}

function extend(parts, key, type, field, text) {
  if (!parts.has(key)) parts.set(key, { type, [field]: "" });
  const part = parts.get(key);
  part[field] += text;
  return part;
}

function given(event, names) {
  return Object.fromEntries(names.filter((name) => event[name] !== undefined).map((name) => [name, event[name]]));
}
