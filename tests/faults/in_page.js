// Functions that a test calls in a page.
({
  /** What an EventSource hears of a stream: to its end, or to the second one when it is to come back by itself. */
  hear({ url, types, comesBack }) {
    return new Promise((resolve) => {
      const source = new EventSource(url);
      const events = [];
      let opened = 0;
      for (const type of types) {
        source.addEventListener(type, ({ data, lastEventId }) => events.push([type, data, lastEventId]));
      }
      source.onopen = () => (opened += 1);
      source.onerror = () => {
        if (comesBack && source.readyState === EventSource.CONNECTING) return;
        source.close();
        resolve({ events, opened });
      };
    });
  },

  /** What the client's own parser hears of a stream in our dialect: its objects and reconnection times. */
  async read({ url }) {
    const { readSse } = await import("/assets/client-wires.js");
    const frames = [];
    const retries = [];
    const sink = { receive: (frame) => frames.push(frame), retry: (ms) => retries.push(ms) };
    await readSse(await fetch(url), new AbortController().signal, sink).catch(({ code }) => {
      if (code === undefined) throw new Error("the parser failed");
    });
    return { frames, retries };
  },

  /** The digest of the texts that the client hands on, their code units and where each ends. */
  async digest({ generation, wire, byFetch }) {
    const { Realtime } = await import("/assets/client.js");
    const client = new Realtime(location.origin, byFetch ? { EventSource: undefined } : {});
    const units = [];
    for await (const { type, text } of client.observe(generation, { wire })) {
      if (type !== "text") continue;
      for (let at = 0; at < text.length; at += 1) units.push(text.charCodeAt(at));
      units.push(0xd8ff, text.length);
    }
    const hash = await crypto.subtle.digest("SHA-256", new Uint16Array(units));
    return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
  },
});
