// Not `async`, so a one-way event: the original responds only to `async` handlers.
export default (body, { ws }) => {
  ws.broadcast(body);
};
