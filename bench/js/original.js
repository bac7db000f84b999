// The package `async-await-websockets` on Bun, with the events of the folder `events`.

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

// The package resolves the folder against the working directory.
process.chdir(import.meta.dirname);
await aaw("events", {}, 0);
process.stdout.write(`127.0.0.1:${port}\n`);
