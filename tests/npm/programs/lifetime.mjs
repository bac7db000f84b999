// A program that does not close its client. The argument says what it does instead; it prints a line of JSON.
//
//   unref         calls an event, and ends when it has the response
//   unref-ws      the same, with the class of the package `ws`
//   unref-idle    makes no call
//   unref-lost    has a connection, then loses it, then ends
//   unref-stream  reads a stream to its end
//   unref-closed  closes the client, too
//   refused       calls a server that refuses the connection, and prints the error
//   listener      has listeners that throw, and ends with `close`
//   exit-code     ends with `close`, and an exit code of its own
//   exit-sends    sends an event while calls are in flight, and exits at once

import aaw from "aaw-js";

const [mode] = process.argv.slice(2);
const url = process.env.AAW_URL;
const print = (...what) => console.log(JSON.stringify(what));

/** @type {Record<string, () => Promise<void> | void>} */
const modes = {
  unref: async () => print(await aaw(url, { timeout: 30_000 }).unref().sendAsync("ping")),
  "unref-ws": async () => {
    const { WebSocket } = await import("ws");
    print(await aaw(url, { timeout: 30_000, WebSocket }).unref().sendAsync("ping"));
  },
  "unref-idle": () => {
    const ws = aaw(url).unref();
    print(ws.state);
  },
  "unref-lost": () => {
    const ws = aaw(url, { backoff: { min: 600_000, max: 600_000 } }).unref();
    ws.on("close", ({ code }) => print(code));
  },
  "unref-stream": async () => {
    const items = [];
    for await (const item of aaw(url).unref().stream("count", { to: 3 })) items.push(item);
    print(items);
  },
  "unref-closed": async () => {
    const ws = aaw(url).unref();
    print(await ws.sendAsync("ping"));
    await ws.close();
    print(ws.state);
  },
  refused: async () => {
    const ws = aaw(url);
    print((await ws.sendAsync("ping", null, 1000).catch((error) => error)).error);
    await ws.close();
  },
  listener: async () => {
    const ws = aaw(url, { timeout: 30_000 });
    for (const event of ["open", "aaw/state", "ping", "close"]) {
      ws.on(event, () => {
        throw new Error(`the listener of ${event}`);
      });
    }
    print(await ws.sendAsync("ping"), await ws.sendAsync("echo", 5));
    await ws.close();
    print(ws.state);
  },
  "exit-code": async () => {
    const ws = aaw(url, { timeout: 30_000 });
    await ws.sendAsync("ping");
    process.exitCode = 3;
    await ws.close();
    print("closed");
  },
  "exit-sends": async () => {
    const ws = aaw(url, { timeout: 30_000 });
    print(await ws.sendAsync("ping"));
    for (let call = 0; call < 3; call += 1) void ws.sendAsync("ping");
    ws.sendSync("announce", "sent before the exit");
    process.exit();
  },
};

await modes[mode]();
