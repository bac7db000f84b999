export default (body, { ws }) => {
  ws.sendEvent("notified", body);
};
