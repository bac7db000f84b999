// The types as a TypeScript program uses them. `npm run check` compiles it; it is never run.

import aaw, { CallError, type Options, type ResumptionOptions } from "aaw-js";

interface User {
  id: number;
  name: string;
}

const ws = aaw("ws://localhost:1337", { timeout: 1000, backoff: { max: 5000 } });
aaw();
aaw(async () => new URL(`wss://example.org/?token=${await Promise.resolve(1)}`));

const user: User = await ws.sendAsync<User>("users/get", { id: 1 });
const untyped: User = await ws.sendAsync("users/get", { id: user.id }, 500);
await ws.sendAsync("users/get", untyped, { timeout: 500, signal: AbortSignal.timeout(100) });

for await (const { name } of ws.stream<User>("users/all", null, { signal: new AbortController().signal })) {
  name.toUpperCase();
}

const orders = ws.duplex<{ category: string }, { total: number }>("orders");
const taken: boolean = await orders.send({ category: "tea" });
orders.end();
for await (const { total } of orders) total.toFixed(taken ? 2 : 0);

ws.on("broadcast", (message: string) => message.length);
ws.on("aaw/state", (state) => state === ws.state);
ws.off("broadcast");

const stopHandling: () => void = ws.handle("confirm", async (body: { text: string }, { signal }) => {
  signal.throwIfAborted();
  return body.text.length > 3;
});
stopHandling();

const { token, user: me } = await ws.login("ada@example.org", "secret");
await ws.resume(token, { timeout: 500 });
const allowed: string[] = ws.identity?.allowed ?? [me.id, me.email];
ws.on("unauthorized", (error: CallError) => [error.code, ws.token, allowed].join());
if ((await ws.requestReset(me.email)).ok) await ws.setNew("from the mail", "new");
await ws.logout(500);
aaw("/", { storage: localStorage, storageKey: "mine" });
aaw("/", { storage: sessionStorage });
const afterReload: ResumptionOptions = { afterReload: true, storageKey: "mine" };
const options: Options[] = [{ resumption: afterReload }, { resumption: {} }, { resumption: false }];
options.forEach((each) => aaw("/", each));
ws.on("open", () => ws.restored || ws.sendSync("room/join", "lobby"));
ws.on("gap", ({ lost }: { lost: number }) => lost.toFixed());
ws.on("interrupted", ({ reason }: { reason: string }) => reason.trim());

await ws.close();

for await (const { event, data, id, retry } of aaw.sse(await fetch("/events"), { maxEvent: 1000 })) {
  [event, data, id].join(`${retry?.toFixed()}`);
}

const http = aaw.http("http://localhost:1337");
const one: User = await http.sendAsync<User>("users/get", { id: 1 }, { timeout: 10 });
for await (const { id } of http.stream<User>("users/all")) id.toFixed(one.id);

try {
  await ws.sendAsync("explode");
} catch (error) {
  if (error instanceof CallError) [error.error, error.code, error.sent ? "sent" : "not sent"].join();
}

// @ts-expect-error The event must be a string.
ws.sendAsync(1);
// @ts-expect-error The timeout must be a number or an object.
ws.sendAsync("ping", null, "3000");
// @ts-expect-error Unknown option.
aaw("ws://localhost:1337", { timeuot: 1000 });
// @ts-expect-error Unknown option of resumption.
aaw("/", { resumption: { afterRelaod: true } });
// @ts-expect-error The password must be a string.
ws.login("ada@example.org", 7);
// @ts-expect-error The storage must be an object.
aaw("/", { storage: "localStorage" });
// @ts-expect-error The item does not have the declared type.
orders.send({ kategory: "tea" });
