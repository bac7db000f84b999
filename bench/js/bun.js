// `Bun.serve` with JSON in both directions. `announce` publishes to a topic that all connections subscribe to, `room/say` to a
// topic that `room/join` subscribes to.
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: (request, server) => (server.upgrade(request) ? undefined : new Response(null, { status: 400 })),
  websocket: {
    open: (ws) => ws.subscribe("all"),
    message: (ws, text) => {
      const [event, body, id] = JSON.parse(text);
      if (event === "announce") ws.publish("all", JSON.stringify(["broadcast", body]));
      else if (event === "room/join") ws.subscribe(body.name);
      else if (event === "room/say") ws.publish(body.name, JSON.stringify(["said", { text: body.text }]));
      else ws.send(JSON.stringify([event, body, id]));
    },
  },
});
process.stdout.write(`127.0.0.1:${server.port}\n`);
