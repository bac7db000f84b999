// The npm server, unchanged, on a free port of 127.0.0.1.
//
//   node_modules/.bin/bun server.mjs events
//
// Prints {"port":N} once it accepts connections, and nothing else on stdout; a line of JSON a call goes to stderr.
// The end of stdin ends it, at once and without close frames. So do, by its own faults and with exit code 1,
// an unknown event, a frame that makes no sense and a plain event that throws.

import { relative } from "node:path";

// stdout is for the port alone: the package greets there, and events may print.
console.log = console.info = console.debug = console.error;

// The package keeps what `Bun.serve` returns to itself and takes no host. Its surroundings may: port 0 leaves
// no gap for another process to take the port in, as finding a free one first would.
const { serve } = Bun;
let port;
Bun.serve = (options) => {
  const server = serve({ ...options, hostname: "127.0.0.1" });
  port = server.port;
  return server;
};

// Imported only now: it takes `Bun.serve` as it finds it.
const { default: aaw } = await import("async-await-websockets/server.js");

const log = (call) => console.error(JSON.stringify(call));

// It looks below the working directory, so an absolute folder has to be told from there.
await aaw(relative(process.cwd(), process.argv[2]) || ".", {}, 0, log);

process.stdout.write(`${JSON.stringify({ port })}\n`);

process.stdin.resume().on("end", () => process.exit());
