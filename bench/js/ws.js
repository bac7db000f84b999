// The package `ws` on Node with JSON in both directions. `announce` sends one text to all other connections.
import { WebSocketServer } from "ws";

const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
server.on("connection", (ws) => {
  ws.on("message", (data) => {
    const [event, body, id] = JSON.parse(data);
    if (event !== "announce") return ws.send(JSON.stringify([event, body, id]));
    const text = JSON.stringify(["broadcast", body]);
    for (const other of server.clients) if (other !== ws) other.send(text);
  });
});
server.on("listening", () => process.stdout.write(`127.0.0.1:${server.address().port}\n`));
