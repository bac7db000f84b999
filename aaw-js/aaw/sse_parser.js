// Parses server-sent events, as in section 9.2.6 "Interpreting an event stream" of the HTML standard.

/**
 * @typedef {object} ServerSentEvent
 * @property {string} event The event's type; `message` by default.
 * @property {string} data
 * @property {string} id The id of this event, or else of the last event that had one; empty if none had.
 * @property {number} [retry] The reconnection time in ms, if the server has sent one since the previous event.
 */

/** An event exceeds the size limit. */
export class EventTooLarge extends Error {
  /** The kind of error, as in a `CallError`. */
  code = "too_large";

  /** @param {number} limit */
  constructor(limit) {
    super(`A server-sent event exceeds the limit of ${limit} characters`);
    this.name = "EventTooLarge";
  }
}

/** An incremental parser. Chunks may end anywhere, even between CR and LF. */
export class SseParser {
  #limit;
  /** The unfinished line. */
  #line = "";
  /** The last chunk ended with CR, so an LF at the start of the next one belongs to that line end. */
  #afterCr = false;
  /** @type {string[]} */
  #data = [];
  /** The size of the current event, in characters. */
  #size = 0;
  #event = "";
  #id = "";
  /** @type {number | undefined} */
  #retry = undefined;

  /** @param {number} limit The size limit of one event: the characters of its lines together. */
  constructor(limit) {
    this.#limit = limit;
  }

  /**
   * Parses the next chunk, and yields the events that it completes. An event that is incomplete at the end of the
   * stream is discarded, as the standard requires.
   *
   * @param {string} text
   * @returns {Generator<ServerSentEvent, void>}
   * @throws {EventTooLarge} The current event exceeds the limit.
   */
  *push(text) {
    let from = this.#afterCr && text.startsWith("\n") ? 1 : 0;
    if (text) this.#afterCr = text.endsWith("\r");
    const lineEnd = /\r\n|\r|\n/g;
    lineEnd.lastIndex = from;
    for (let end = lineEnd.exec(text); end; end = lineEnd.exec(text)) {
      const event = this.#endLine(text.slice(from, end.index));
      from = lineEnd.lastIndex;
      if (event) yield event;
    }
    this.#count(text.length - from);
    this.#line += text.slice(from);
  }

  /** @param {number} characters */
  #count(characters) {
    this.#size += characters;
    if (this.#size > this.#limit) throw new EventTooLarge(this.#limit);
  }

  /** @param {string} rest @returns {ServerSentEvent | null} */
  #endLine(rest) {
    this.#count(rest.length);
    const line = this.#line + rest;
    this.#line = "";
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon < 0) this.#field(line, "");
    else if (colon > 0) this.#field(line.slice(0, colon), line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1));
    // A line that begins with a colon is a comment, which does not count towards the event's size.
    else this.#size -= line.length;
    return null;
  }

  /** @param {string} name @param {string} value */
  #field(name, value) {
    switch (name) {
      case "event":
        this.#event = value;
        break;
      case "data":
        this.#data.push(value);
        // Counts the line, or any number of empty `data` lines would be an event of size 0.
        this.#count(1);
        break;
      case "id":
        if (!value.includes("\0")) this.#id = value;
        break;
      case "retry":
        if (/^[0-9]+$/.test(value)) this.#retry = Number(value);
    }
  }

  /** An empty line ends an event. Without data there is no event, but its id is kept. */
  #dispatch() {
    const [data, event, retry] = [this.#data, this.#event, this.#retry];
    this.#data = [];
    this.#event = "";
    this.#size = 0;
    if (!data.length) return null;
    this.#retry = undefined;
    /** @type {ServerSentEvent} */
    const dispatched = { event: event || "message", data: data.join("\n"), id: this.#id };
    if (retry !== undefined) dispatched.retry = retry;
    return dispatched;
  }
}
