// The JavaScript clients of tests/reliability: they make calls of `counter/add`, and print what has become of them, as one
// line of JSON. `src/js_clients.rs` starts this with the options as JSON.

import { setTimeout as sleep } from "node:timers/promises";

import aaw from "../../aaw-js/aaw.js";

const { url, seed, timeout, inFlight, time, hasDefaultTimeouts, first, calls } = JSON.parse(process.argv[2]);
const ends = Date.now() + time;

const OPTIONS = {
  resumption: true,
  backoff: { min: 1, max: 20, refused: 10 },
  // As in `src/rust_clients.rs`.
  connectTimeout: 4000,
};

/** A generator of random integers below a limit, for one call. */
const randomOf = (/** @type {number} */ id) => {
  let state = (seed ^ Math.imul(id % 2 ** 32, 0x9e3779b1) ^ Math.floor(id / 2 ** 32)) >>> 0;
  return (/** @type {number} */ end) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % end;
  };
};

/** As `CallBody` of `src/calls.rs`. */
const callBody = (/** @type {number} */ id) => {
  const below = randomOf(id);
  const kind = below(100);
  const delay = kind === 0 ? below(hasDefaultTimeouts ? 6000 : 300) : kind < 10 ? below(20) : 0;
  const size = () => (below(100) < 2 ? below(10_000) : below(100));
  return { id, by: 1, delay_ms: delay, padding: "x".repeat(size()), returned_bytes: size() };
};

/**
 * What the client knows about a call that has failed.
 *
 * @param {any} error
 */
const label = (error) => {
  if (error.sent === false) return "not_sent";
  if (error.code === "timeout" && error.taken) return "taken";
  if (error.code === "timeout") return "sent";
  if (error.code === "outcome_unknown") return "unknown";
  return "failed";
};

const report = { made: 0, responses: 0, failed: /** @type {object[]} */ ([]) };

const runClient = async (/** @type {number} */ client, /** @type {number} */ many) => {
  const ws = aaw(url, OPTIONS);
  let next = 0;
  const caller = async () => {
    while (next < many && Date.now() < ends) {
      const id = client * 2 ** 32 + next;
      next += 1;
      report.made += 1;
      try {
        const added = await ws.sendAsync("counter/add", callBody(id), timeout);
        if (added.id === id) report.responses += 1;
        else report.failed.push({ id, label: "failed", error: `the response to ${added.id}` });
      } catch (error) {
        report.failed.push({ id, label: label(error), error: `${error.code}: ${error.error ?? error}` });
      }
    }
  };
  await Promise.all(Array.from({ length: inFlight }, caller));
  await Promise.race([ws.close(), sleep(5000, undefined, { ref: false })]);
};

await Promise.all(calls.map((/** @type {number} */ many, /** @type {number} */ n) => runClient(first + n, many)));
process.stdout.write(JSON.stringify(report), () => process.exit(0));
