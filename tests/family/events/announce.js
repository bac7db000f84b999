// Plain: the original answers async functions only.
export default (body, { ws }) => {
  ws.broadcast(body, body.includeSelf);
};
