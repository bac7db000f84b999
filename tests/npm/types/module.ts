// Correct and wrong uses of the types, without a global type that only some libraries have. A line after
// `@ts-expect-error` that compiles is an error.

import aaw, { CallError, http, sse } from "aaw-js";
import type {
  CallOptions,
  Client,
  Duplex,
  Handler,
  HttpClient,
  Identity,
  ItemStream,
  LoggedIn,
  Options,
  ServerSentEvent,
  State,
  StreamOptions,
  TokenStorage,
  UrlSource,
} from "aaw-js";

interface User {
  id: number;
  name: string;
}

const url: UrlSource = "ws://localhost:1337";
const options: Options = { timeout: 1000, backoff: { max: 5000 }, window: 16, heartbeat: Infinity, bigint: true, token: "t" };
const ws: Client = aaw(url, options);
const state: State = ws.state;
const same: Client = ws.unref().ref();
// @ts-expect-error: a number, not a text
aaw(url, { timeout: "1000" });
same.sendSync("seen", 5n);

export const calls = async (): Promise<string> => {
  const user: User = await ws.sendAsync<User>("users/get", { id: 1 });
  const callOptions: CallOptions = { timeout: 500 };
  const untyped: User = await ws.sendAsync("users/get", { id: user.id }, callOptions);
  ws.sendSync("users/seen", untyped);
  const stream: ItemStream<User> = ws.stream<User>("users/all");
  for await (const { name } of stream) name.toUpperCase();
  const streamOptions: StreamOptions = {};
  const orders: Duplex<{ category: string }, { total: number }> = ws.duplex("orders", null, streamOptions);
  const isTaken: boolean = await orders.send({ category: "tea" });
  orders.end();
  for await (const { total } of orders) total.toFixed(isTaken ? 2 : 0);
  // @ts-expect-error The item does not have the declared type.
  await orders.send({ kategory: "tea" });
  const overHttp: HttpClient = http("http://localhost:1337", { headers: { authorization: `Bearer ${ws.token}` } });
  for await (const { id } of overHttp.stream<User>("users/all")) id.toFixed();
  const loggedIn: LoggedIn = await ws.login("ada@example.org", "secret");
  const identity: Identity | null = ws.identity;
  await ws.logout(500);
  await ws.close();
  try {
    await ws.sendAsync("explode");
  } catch (error) {
    if (error instanceof CallError) return [error.error, error.code, error.sent ? "sent" : "not sent"].join();
    // @ts-expect-error It is unknown what was thrown.
    error.code;
  }
  // @ts-expect-error The password must be a string.
  await ws.login("ada@example.org", 7);
  // @ts-expect-error The identity may be null.
  identity.email;
  return loggedIn.user.email + state;
};

const handler: Handler = async (body: { text: string }, { signal }) => !signal.aborted && body.text.length > 3;
export const stopHandling: () => void = ws.handle("confirm", handler);
ws.on("broadcast", (message: string) => message.length);
ws.on("unauthorized", ({ code }: CallError) => code);
ws.onopen = (event) => event.type;
ws.onclose = ({ code, reason, wasClean }) => (wasClean ? reason : code);
ws.onmessage = ({ data }) => data.length;
ws.addEventListener("close", () => {});

const storage: TokenStorage = { getItem: () => null, setItem: () => {}, removeItem: () => {} };
aaw(() => Promise.resolve("wss://example.org"), { storage });
aaw.http("http://localhost:1337").sendAsync("ping");
new aaw.CallError({ error: "No" }, { sent: false });

export const read = (event: ServerSentEvent): string => event.event + event.data + event.id;
export const parse: typeof aaw.sse = sse;

// @ts-expect-error The event must be a string.
ws.sendAsync(1);
// @ts-expect-error The timeout must be a number or an object.
ws.sendAsync("ping", null, "3000");
// @ts-expect-error Unknown option.
aaw(url, { timeuot: 1000 });
// @ts-expect-error The storage must be an object.
aaw(url, { storage: "localStorage" });
// @ts-expect-error Not a URL.
aaw(7);
// @ts-expect-error A close event has no such property.
ws.onclose = ({ cause }) => cause;
// @ts-expect-error There is no such member.
ws.sendAsnyc("ping");
// @ts-expect-error What is internal is not declared.
ws.wantsMessages;
// @ts-expect-error `Client` is a type only.
new Client();
