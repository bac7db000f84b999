// The JavaScript clients of tests/reliability: they make calls of `counter/add`, and print what has become of them, as one
// line of JSON. `src/js_clients.rs` starts this with the options as JSON.

import { setTimeout as sleep } from "node:timers/promises";

import aaw from "../../aaw-js/aaw.js";
import { callBody, callId } from "./call_body.mjs";

const { url, seed, timeout, inFlight, time, hasDefaultTimeouts, first, calls } = JSON.parse(process.argv[2]);
const ends = Date.now() + time;
/** The longest handler, in ms. */
const longest = hasDefaultTimeouts ? 6000 : 300;

const OPTIONS = {
  backoff: { min: 1, max: 20, refused: 10 },
  // As in `src/rust_clients.rs`.
  connectTimeout: 4000,
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
      const id = callId(client, next);
      next += 1;
      report.made += 1;
      try {
        const added = await ws.sendAsync("counter/add", callBody(seed, id, longest), timeout);
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
