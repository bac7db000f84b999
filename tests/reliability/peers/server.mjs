// A Socket.IO server with the counter of the test events: `counter/add`, and `counter/get` of `tests/events`. Pushes to
// rooms. Stops when standard input ends.

import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, {
  transports: ["websocket"],
  serveClient: false,
  connectionStateRecovery: { maxDisconnectionDuration: 2 * 60 * 1000 },
  // A silent connection is noticed after 6 s, as by aaw. The defaults are 25 s and 20 s.
  pingInterval: 3000,
  pingTimeout: 3000,
});

/** How often each call has run. @type {Map<number, number>} */
const started = new Map();

/** The numbers of clients to whose rooms the server pushes. */
const ticking = new Set();

const tick = async (/** @type {{ client: number, times: number, every: number }} */ { client, times, every }) => {
  if (ticking.has(client)) return;
  ticking.add(client);
  const began = performance.now();
  for (let number = 1; number <= times; number += 1) {
    io.to(`client-${client}`).emit("tick", number);
    // A tick that is late does not delay the next ones.
    await sleep(Math.max(0, began + number * every - performance.now()));
  }
};

io.on("connection", (socket) => {
  // A connection is recovered only if its client has received an event.
  socket.emit("welcome");
  socket.on("counter/add", async ({ id, delay_ms: delay, returned_bytes: bytes }, respond) => {
    started.set(id, (started.get(id) ?? 0) + 1);
    if (delay > 0) await sleep(delay);
    respond({ id, padding: "x".repeat(bytes) });
  });
  socket.on("counter/get", ({ ids }, respond) => {
    const executions = ids.map((/** @type {number} */ id) => ({ started: started.get(id) ?? 0 }));
    respond({ calls: started.size, executions });
  });
  socket.on("pushes/ticks", tick);
  // A recovered connection is in the room already.
  socket.join(`client-${socket.handshake.auth.client}`);
});

http.listen(0, "127.0.0.1", () => console.log(`listening on port ${http.address().port}`));
process.stdin.resume().on("end", () => process.exit());
