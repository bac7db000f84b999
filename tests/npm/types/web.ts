// Uses of the Web API together with the client: its types come from the DOM library or from `@types/node`.

import aaw, { type Client, type ServerSentEvent } from "aaw-js";

const ws: Client = aaw(async () => new URL(`wss://example.org/?token=${await Promise.resolve(1)}`));

export const calls = async (): Promise<void> => {
  const controller = new AbortController();
  await ws.sendAsync("ping", null, { signal: AbortSignal.timeout(100) });
  for await (const item of ws.stream("count", null, { signal: controller.signal })) item;
  const http = aaw.http(new URL("http://localhost:1337"), { headers: new Headers({ a: "b" }), fetch });
  await http.sendAsync("ping", null, { signal: controller.signal });
  const response = await fetch("http://localhost:1337/events/count");
  for await (const event of aaw.sse(response, { maxEvent: 1000 })) ((event: ServerSentEvent) => event.retry)(event);
  for await (const event of aaw.sse(response.body!)) event.id;
};

ws.handle("fetch", async (path: string, { signal }) => (await fetch(path, { signal })).json());
ws.addEventListener("open", ({ type }) => type);
export const target: EventTarget = ws;

// @ts-expect-error A signal is required, not its controller.
ws.stream("count", null, { signal: new AbortController() });
// @ts-expect-error The headers must be strings.
aaw.http("http://localhost:1337", { headers: { a: {} } });
// @ts-expect-error Not a response.
aaw.sse("data: 1");
