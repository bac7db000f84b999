// The types of `require`.

import aaw = require("aaw-js");
import imported, { CallError, sse } from "aaw-js";
import type { Client, Options } from "aaw-js";

const options: Options = { timeout: 10 };
const ws: Client = aaw("ws://localhost:1337", options);
const other: aaw.Client = imported("ws://localhost:1337");
const same: typeof aaw = aaw.default;

export const call = async (): Promise<number> => {
  for await (const n of ws.stream<number>("count")) if (n > 3) return n;
  const isSame: boolean = CallError === aaw.CallError && sse === same.sse;
  return (await aaw.http("http://localhost:1337").sendAsync<number>("echo", isSame)) + (await other.sendAsync("echo"));
};

// @ts-expect-error The event must be a string.
aaw("ws://localhost:1337").sendAsync(1);
// @ts-expect-error Unknown option.
imported("ws://localhost:1337", { timeuot: 1000 });
