// Runs the unmodified npm server on a free port of 127.0.0.1.
//
//   node_modules/.bin/bun server.mjs events
//
// Prints {"port":N} to stdout once it accepts connections, and nothing else; for each call, a line of JSON to stderr.
// It exits at the end of stdin, without close frames. Bugs of the package make it exit with code 1 on an unknown event,
// a malformed frame, or a one-way event that throws.

import { relative } from "node:path";

// Keeps stdout for the port: the package and events print to the console.
console.log = console.info = console.debug = console.error;

// The package takes no host, and does not expose the server that `Bun.serve` returns, so this wraps `Bun.serve`. Port 0
// avoids the race of finding a free port first.
const { serve } = Bun;
let port;
Bun.serve = (options) => {
  const server = serve({ ...options, hostname: "127.0.0.1" });
  port = server.port;
  return server;
};

// Imported after `Bun.serve` was replaced, because the package reads it when it is imported.
const { default: aaw } = await import("async-await-websockets/server.js");

const log = (call) => console.error(JSON.stringify(call));

// The package resolves the folder against the working directory, so an absolute path must be made relative to it.
await aaw(relative(process.cwd(), process.argv[2]) || ".", {}, 0, log);

process.stdout.write(`${JSON.stringify({ port })}\n`);

process.stdin.resume().on("end", () => process.exit());
