// The load on a client: 32 calls of `echo` in flight on one connection, each with a body of 100 bytes.

/** Calls in flight. */
export const SLOTS = 32;

/** With a number of nine digits, the body has 100 bytes as JSON. */
const FIRST_NUMBER = 100_000_000;
const TEXT = "x".repeat(100 - `{"number":${FIRST_NUMBER},"text":""}`.length);

/**
 * Makes calls for `seconds`, after a warm-up of half of that. Each slot awaits its call before it makes the next one.
 *
 * @param {(slot: number, body: object) => Promise<any>} call
 * @param {number} seconds
 * @param {() => number | Promise<number>} processorTime That of the client so far, in seconds.
 * @throws {Error} A response has the body of another call.
 */
export const measure = async (call, seconds, processorTime) => {
  let number = FIRST_NUMBER;
  let calls = 0;
  let isOver = false;
  const keepCalling = async (/** @type {number} */ slot) => {
    while (!isOver) {
      const body = { number: (number += 1), text: TEXT };
      const echoed = await call(slot, body);
      if (echoed.number !== body.number || echoed.text !== TEXT) {
        throw new Error(`call ${body.number} has the response ${JSON.stringify(echoed)}`);
      }
      calls += 1;
    }
  };
  const slots = Promise.all(Array.from({ length: SLOTS }, (_, slot) => keepCalling(slot)));
  const pause = (/** @type {number} */ time) =>
    Promise.race([slots, new Promise((resolve) => setTimeout(resolve, time * 1000))]);
  await pause(seconds / 2);
  const start = { calls, time: performance.now(), processor: await processorTime() };
  await pause(seconds);
  const end = { calls, time: performance.now(), processor: await processorTime() };
  isOver = true;
  await slots;
  return {
    calls: end.calls - start.calls,
    seconds: (end.time - start.time) / 1000,
    cpu_seconds: end.processor - start.processor,
  };
};
