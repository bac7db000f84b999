// A program that uses only the reader of server-sent events. A bundler leaves out the rest of the package.

import { sse } from "aaw-js";

const events = [];
for await (const { data } of sse(new Response("data: 1\n\ndata: 2\n\n"))) events.push(data);
console.log(JSON.stringify(events));
