// The client of Socket.IO with retries: it keeps calls in a queue, sends one at a time, and sends it again if it is not
// acknowledged.

import { connectWith } from "./socket.io.mjs";

export const RETRIES = 3;

/** @type {import("../load.mjs").Connect} */
export const connect = (url, timing) =>
  // All attempts together take as long as a call of the others may.
  connectWith(url, timing, { retries: RETRIES, ackTimeout: timing.timeout / (RETRIES + 1) });
