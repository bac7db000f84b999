// Server-sent events from text, by the rules of the HTML standard, section 9.2.6 "Interpreting an event stream".

/**
 * @typedef {object} ServerSentEvent
 * @property {string} event Its type; `message` if the server gave none.
 * @property {string} data
 * @property {string} id The last id that the server gave, with this event or an earlier one; empty if none.
 * @property {number} [retry] If the server asked for it since the last event: the wait before reconnecting, in ms.
 */

/** An event is larger than its reader allows. */
export class EventTooLarge extends Error {
  /** For programs, as in a `CallError`. */
  code = "too_large";

  /** @param {number} limit */
  constructor(limit) {
    super(`An event of the stream is larger than ${limit} characters; \`maxEvent\` allows more`);
    this.name = "EventTooLarge";
  }
}

/** A function of the text so far: chunks may end anywhere, also between CR and LF. */
export class SseParser {
  #limit;
  /** The line that has not ended yet. */
  #line = "";
  /** The last chunk ended with CR: an LF at the beginning of the next belongs to it. */
  #afterCr = false;
  /** @type {string[]} */
  #data = [];
  /** Characters of the event so far. */
  #size = 0;
  #event = "";
  #id = "";
  /** @type {number | undefined} */
  #retry = undefined;

  /** @param {number} limit Characters that the lines of one event may have together. */
  constructor(limit) {
    this.#limit = limit;
  }

  /**
   * Takes the next text, and gives the events that it completes. What has not been completed at the end of the stream
   * is no event.
   *
   * @param {string} text
   * @returns {Generator<ServerSentEvent, void>}
   * @throws {EventTooLarge}
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
    this.#grow(text.length - from);
    this.#line += text.slice(from);
  }

  /** @param {number} characters */
  #grow(characters) {
    this.#size += characters;
    if (this.#size > this.#limit) throw new EventTooLarge(this.#limit);
  }

  /** @param {string} rest @returns {ServerSentEvent | null} */
  #endLine(rest) {
    this.#grow(rest.length);
    const line = this.#line + rest;
    this.#line = "";
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon < 0) this.#field(line, "");
    else if (colon > 0) this.#field(line.slice(0, colon), line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1));
    // A line that begins with a colon is a comment: it is over, and takes no room.
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
        // Or empty lines without end would be an event without size.
        this.#grow(1);
        break;
      case "id":
        if (!value.includes("\0")) this.#id = value;
        break;
      case "retry":
        if (/^[0-9]+$/.test(value)) this.#retry = Number(value);
    }
  }

  /** An empty line ends an event. One without data is none, though its id counts. */
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
