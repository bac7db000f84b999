// The package `async-await-websockets` on Bun, with the events of the folder `events`, and `echo` under further names.

import { cpSync } from "node:fs";
import { join } from "node:path";

import { SLOTS } from "./load.js";

// The package prints to the console; stdout is for the address.
console.log = console.info = console.debug = () => {};

// The package takes no host, and does not return the server, so this wraps `Bun.serve`.
const { serve } = Bun;
let port;
Bun.serve = (options) => {
  const server = serve({ ...options, hostname: "127.0.0.1" });
  port = server.port;
  return server;
};

// Imported after `Bun.serve` was replaced, because the package reads it when it is imported.
const { default: aaw } = await import("async-await-websockets/server.js");

// The package's client needs an event for each call in flight: see connect.js. Events are named after their files.
const events = join(import.meta.dirname, "events");
const generated = join(import.meta.dirname, "node_modules/.cache/events");
cpSync(events, generated, { recursive: true });
for (let slot = 0; slot < SLOTS; slot += 1) cpSync(join(events, "echo.js"), join(generated, `echo/${slot}.js`));

// The package resolves the folder against the working directory.
process.chdir(join(generated, ".."));
await aaw("events", {}, 0);
process.stdout.write(`127.0.0.1:${port}\n`);
