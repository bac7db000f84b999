// The package `socket.io` on Node. `announce` goes to all other sockets, `room/say` to the others in a room.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, {
  transports: ["websocket"],
  serveClient: false,
  // More than 1 MB, the default, for bodies of 1 MB with what is around them.
  maxHttpBufferSize: 2e6,
  // The idle connections of the generator do not answer heartbeats.
  pingInterval: 600_000,
});
io.on("connection", (socket) => {
  socket.on("echo", (body, respond) => respond(body));
  socket.on("announce", (body) => socket.broadcast.emit("broadcast", body));
  socket.on("room/join", ({ name }) => socket.join(name));
  socket.on("room/say", ({ name, text }) => socket.to(name).emit("said", { text }));
});
http.listen(0, "127.0.0.1", () => process.stdout.write(`127.0.0.1:${http.address().port}\n`));
