// Passes TCP connections on to a server, until they are cut.

import { connect, createServer } from "node:net";

/**
 * Starts a proxy that is stopped at the end of the test.
 *
 * @param {{ port: number }} server
 */
export const startProxy = async (t, { port }) => {
  const pairs = new Set();
  const proxy = createServer((socket) => {
    const upstream = connect(port, "127.0.0.1");
    const pair = [socket, upstream];
    pairs.add(pair);
    const end = () => {
      pairs.delete(pair);
      for (const side of pair) side.destroy();
    };
    for (const side of pair) side.on("error", end).on("close", end);
    socket.pipe(upstream).pipe(socket);
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const cut = () => {
    for (const pair of [...pairs]) for (const side of pair) side.resetAndDestroy();
  };
  t.after(() => {
    proxy.close();
    cut();
  });
  return { url: `http://127.0.0.1:${proxy.address().port}`, cut };
};
