// The HTTP client, against a local server that sends the responses of an aaw server.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { http } from "../aaw/http.js";

/** @typedef {import("node:http").IncomingMessage & { body?: string }} Request */
/** @import { ServerResponse as Response } from "node:http" */

/** Handles the next requests. @type {(request: Request, response: Response) => void} */
let respond = () => {};

const server = createServer(async (request, response) => {
  let body = "";
  for await (const chunk of request) body += chunk;
  await respond(Object.assign(request, { body }), response);
});
let url = "";

before(async () => {
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  assert.ok(address && typeof address === "object");
  url = `http://127.0.0.1:${address.port}`;
});

after(() => {
  server.closeAllConnections();
  server.close();
});

/** @param {number} status @param {unknown} json */
const respondWith = (status, json) => {
  respond = (_, response) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(json));
  };
};

/** @param {string} text */
const respondWithEvents = (text) => {
  respond = (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end(text);
  };
};

/** @param {AsyncIterable<unknown>} stream */
const read = async (stream) => {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
};

test("a call is a POST of its payload to a path below the URL, with any accepted scheme", async () => {
  /** @type {Request[]} */
  const requests = [];
  respond = (request, response) => {
    requests.push(request);
    response.end('{"id":1}');
  };
  const base = `${url.replace("http", "ws")}/app/`;
  assert.deepEqual(await http(base, { headers: { "x-key": "7" } }).sendAsync("users/get", { id: 1 }), { id: 1 });
  const { sendAsync } = http(url);
  await sendAsync("ping");
  assert.deepEqual(
    requests.map(({ method, url, body, headers }) => [method, url, body, headers.accept, headers["content-type"]]),
    [
      ["POST", "/app/events/users/get", '{"id":1}', "application/json", "application/json"],
      ["POST", "/events/ping", "null", "application/json", "application/json"],
    ],
  );
  assert.equal(requests[0].headers["x-key"], "7");
});

test("the response of a one-way event is null, and a stream of no items", async () => {
  respond = (_, response) => response.writeHead(204).end();
  assert.equal(await http(url).sendAsync("announce"), null);
  assert.deepEqual(await read(http(url).stream("announce")), []);
});

test("a failed call rejects with the server's error", async () => {
  respondWith(404, { error: "Unknown event: nope", code: "unknown_event" });
  await assert.rejects(http(url).sendAsync("nope"), { error: "Unknown event: nope", code: "unknown_event" });
  await assert.rejects(http(url).stream("nope").next(), { error: "Unknown event: nope", code: "unknown_event" });
  respond = (_, response) => response.writeHead(502, "Bad Gateway").end("<html>");
  await assert.rejects(http(url).sendAsync("nope"), {
    error: "The server responded with 502 Bad Gateway",
    code: "http_502",
  });
});

/** @type {{ self?: unknown }} */
const CYCLE = {};
CYCLE.self = CYCLE;

test("an invalid event name or an unserializable payload makes no request", async () => {
  respond = () => assert.fail("a request was made");
  for (const name of ["../healthz", "a//b", "", ".", "a/..", "_open"]) {
    await assert.rejects(http(url).sendAsync(name), { code: "unknown_event", sent: false });
  }
  await assert.rejects(http(url).sendAsync("ping", CYCLE), { code: "bad_body" });
  assert.throws(() => http(url).stream("ping", CYCLE), { code: "bad_body" });
});

test("a timeout or an aborted signal ends the request", async () => {
  respond = () => {};
  await assert.rejects(http(url).sendAsync("slow", null, 20), { code: "timeout" });
  await assert.rejects(http(url, { timeout: 20 }).sendAsync("slow"), { code: "timeout" });
  const controller = new AbortController();
  const gone = new Promise((resolve) => {
    respond = (_, response) => {
      response.on("close", resolve);
      controller.abort();
    };
  });
  const call = http(url).sendAsync("slow", null, { signal: controller.signal, timeout: Infinity });
  await assert.rejects(call, { code: "cancelled", name: "AbortError" });
  await gone;
});

test("a call to an unreachable server fails with outcome_unknown", async () => {
  await assert.rejects(http("http://127.0.0.1:1").sendAsync("ping"), { code: "outcome_unknown" });
  respond = (_, response) => response.destroy();
  await assert.rejects(http(url).sendAsync("ping"), { code: "outcome_unknown" });
});

test("a stream yields its items, then ends", async () => {
  respondWithEvents('id: 1\ndata: {"n":1}\n\n: comment\n\nid: 2\ndata: null\n\nevent: end\nid: end\ndata: null\n\n');
  assert.deepEqual(await read(http(url).stream("count", { to: 2 })), [{ n: 1 }, null]);
});

test("an error is thrown after the items that precede it", async () => {
  respondWithEvents('id: 1\ndata: 1\n\nevent: failed\nid: end\ndata: {"error":"No more","code":"handler"}\n\n');
  const stream = http(url).stream("count");
  assert.equal((await stream.next()).value, 1);
  await assert.rejects(stream.next(), { error: "No more", code: "handler" });
  assert.equal((await stream.next()).done, true);
});

test("a stream that is cut off fails with outcome_unknown", async () => {
  respondWithEvents("id: 1\ndata: 1\n\n");
  const stream = http(url).stream("count");
  assert.equal((await stream.next()).value, 1);
  await assert.rejects(stream.next(), { code: "outcome_unknown" });
});

test("leaving the loop aborts the request", async () => {
  const gone = new Promise((resolve) => {
    respond = (_, response) => {
      response.on("close", resolve);
      response.write("data: 1\n\n");
    };
  });
  for await (const item of http(url).stream("count")) {
    assert.equal(item, 1);
    break;
  }
  await gone;
});

test("return ends a pending next, even before the response arrives", async () => {
  const requested = new Promise((resolve) => (respond = resolve));
  const stream = http(url).stream("count");
  const next = stream.next();
  await requested;
  await stream.return();
  assert.deepEqual(await next, { value: undefined, done: true });
});

test("an aborted signal ends a stream", async () => {
  const controller = new AbortController();
  respond = (_, response) => response.write("data: 1\n\n");
  const stream = http(url).stream("count", null, { signal: controller.signal });
  assert.equal((await stream.next()).value, 1);
  const next = stream.next();
  controller.abort();
  await assert.rejects(next, { code: "cancelled", name: "AbortError" });
});
