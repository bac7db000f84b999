// Decides when a server that is silent while it has a call is sent a ping, so that a dead connection is noticed soon.

/** @import { Resumption } from "./resumption.js" */

/** How long a call that the server has not acknowledged waits for a sign of life, in ms; and then the ping that demands one. */
const PROBE_DELAY = 3000;

/**
 * A call that takes long may wait in silence for this part of its age, so that it costs few pings. The limit, in ms, is shorter
 * than the interval of the heartbeat.
 */
const PROBE_PART = 4;
const MAX_PROBE_DELAY = 15_000;

/** With so much unacknowledged, the server is not expected to respond to a ping within seconds. */
const MAX_PROBED_SIZE = 16 << 10;

/**
 * Only calls with a single response count, on a connection that can be resumed. Streams may wait for hours: the heartbeat
 * suffices for them.
 */
export class SilenceProbe {
  /** When to look at the calls. May be too early. */
  #next = Infinity;
  /** When the first call was written that was given up, if nothing has arrived since. */
  #unanswered = Infinity;

  /** A call was written. @param {import("./pending_call.js").PendingCall<any>} call @param {Resumption} resumption */
  handleCallWritten(call, resumption) {
    if (call.credit === null) this.#next = Math.min(this.#next, call.writtenAt + probeDelay(resumption));
  }

  /** A call that was written is given up. @param {import("./pending_call.js").PendingCall<any>} call @param {Resumption} resumption */
  handleCallAbandoned(call, resumption) {
    if (call.credit !== null) return;
    this.#unanswered = Math.min(this.#unanswered, call.writtenAt);
    this.#next = Math.min(this.#next, this.#unanswered + probeDelay(resumption));
  }

  /** Something has arrived. */
  handleActivity() {
    this.#unanswered = Infinity;
  }

  /** The calls have ended. */
  reset() {
    this.#next = Infinity;
    this.#unanswered = Infinity;
  }

  /** When to call `handleTimeout`, at the latest. */
  pollTimeout() {
    return this.#next;
  }

  /**
   * @param {number} now
   * @param {Resumption} resumption
   * @param {import("./call_table.js").CallTable<any>} calls
   * @param {number} lastActivity When the server has last sent something.
   * @returns {number | null} Within how many ms a sign of life is demanded; `null`: it is not.
   */
  handleTimeout(now, resumption, calls, lastActivity) {
    if (now < this.#next) return null;
    const delay = probeDelay(resumption);
    this.#next = now + delay;
    // A large message may take longer than this delay on a network that works. The heartbeat covers it.
    if (resumption.sent.size >= MAX_PROBED_SIZE) return null;
    const due = Math.min(probeDue(delay, resumption, calls, lastActivity), this.#unanswered + delay);
    if (due <= now) return delay;
    this.#next = due;
    return null;
  }
}

/**
 * How long the server may be silent. A pong may wait behind a message that takes long: each time that a socket was given up
 * and nothing new has arrived since, the server has twice the time.
 *
 * @param {Resumption} resumption
 */
const probeDelay = ({ silences }) => PROBE_DELAY * 2 ** silences;

/**
 * When to send a ping because of the calls that the server has now.
 *
 * @param {number} delay
 * @param {Resumption} resumption
 * @param {import("./call_table.js").CallTable<any>} calls
 * @param {number} lastActivity
 */
const probeDue = (delay, resumption, calls, lastActivity) => {
  let [oldest, newestTaken] = [Infinity, -Infinity];
  for (const { credit, number, writtenAt } of calls.written()) {
    if (credit !== null) continue;
    if (resumption.isTaken(number)) newestTaken = Math.max(newestTaken, writtenAt);
    else oldest = Math.min(oldest, writtenAt);
  }
  if (newestTaken === -Infinity) return oldest + delay;
  const part = Math.min((lastActivity - newestTaken) / PROBE_PART, MAX_PROBE_DELAY);
  return Math.min(oldest + delay, Math.max(lastActivity, newestTaken) + Math.max(delay, part));
};
