// A stream or an upload of aaw-js, each item of which is checked. Prints the most that was on the heap after a garbage
// collection, beyond what was there before. `src/streams/js_client.rs` starts this with the options as JSON.

import aaw from "../../aaw-js/aaw.js";

const { transfer, items, itemBytes, url } = JSON.parse(process.argv[2]);

/** How often the heap is measured. */
const SAMPLES = 20;

const heap = () => {
  /** @type {any} */ (globalThis).gc();
  // Without the buffers of sockets, which Node keeps outside of the heap, and for a while after a socket has closed.
  return process.memoryUsage().heapUsed;
};

const ws = aaw(url, { backoff: { min: 1, max: 20, refused: 10 } });
let before = 0;
let most = 0;

/** Checks an item, the `n`-th from 0, and sometimes the heap. */
const check = (/** @type {number} */ n, /** @type {unknown} */ item, /** @type {unknown} */ expected) => {
  if (item !== expected) throw new Error(`expected item ${expected}, got ${item}`);
  // The first items compile code and fill caches.
  if (n === 1000) before = heap();
  else if (n > 1000 && n % Math.ceil(items / SAMPLES) === 0) most = Math.max(most, heap() - before);
};

const uploadItem = (/** @type {number} */ n) => `${n}`.padStart(itemBytes, "0");

const transfers = {
  stream: async () => {
    let n = 0;
    for await (const item of ws.stream("streams/count", { to: items })) {
      check(n, item, n + 1);
      n += 1;
    }
    return n;
  },
  upload: async () => {
    const duplex = ws.duplex("upload/echo");
    const send = async () => {
      for (let n = 0; n < items; n += 1) {
        if (!(await duplex.send(uploadItem(n)))) throw new Error(`the call was over before item ${n}`);
      }
      duplex.end();
    };
    const receive = async () => {
      let n = 0;
      for await (const item of duplex) {
        check(n, item, uploadItem(n));
        n += 1;
      }
      return n;
    };
    const [received] = await Promise.all([receive(), send()]);
    return received;
  },
};

/** @type {object} */
let report = { error: "unknown transfer" };
try {
  const received = await transfers[/** @type {keyof transfers} */ (transfer)]();
  report = received === items ? { heap: most } : { error: `${received} of ${items} items have arrived` };
} catch (error) {
  report = { error: `${error.error ?? error.message ?? error}` };
}
await ws.close();
process.stdout.write(JSON.stringify(report), () => process.exit(0));
