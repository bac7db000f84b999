// aaw-server behind nginx and Caddy: TLS, the address of the client, keep-alive, unbuffered streams, resumption, and paths.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import aaw from "../../aaw-js/aaw.js";
import { Behind, LONG } from "./behind.mjs";

const HANDSHAKE = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
};

/** A failing log-in, of a new address each time. */
let attempts = 0;
const logIn = (/** @type {Behind} */ behind, /** @type {string} */ from, headers = {}) =>
  behind.send("/events/aaw/login", {
    method: "POST",
    body: JSON.stringify({ email: `${(attempts += 1)}@example.com`, password: "wrong horse" }),
    localAddress: from,
    headers,
  });

for (const proxy of /** @type {const} */ (["nginx", "caddy"])) {
  describe(proxy, { timeout: 5 * LONG }, () => {
    /** @type {Behind} */
    let behind;
    before(async () => {
      behind = await Behind.start(proxy);
    });
    after(() => behind?.stop());

    test(`${proxy}: calls and streams over a WebSocket with TLS`, async () => {
      const ws = aaw(`wss://localhost:${behind.port}`, { timeout: LONG });
      assert.deepEqual(await ws.sendAsync("ping"), { pong: true });
      const numbers = [];
      for await (const number of ws.stream("count", { to: 1000 })) numbers.push(number);
      assert.equal(numbers.length, 1000);
      await ws.close();
    });

    test(`${proxy}: a page of the public name may connect, and one of another name may not`, async () => {
      const shake = async (/** @type {string} */ origin, headers = {}) =>
        (await behind.send("/", { headers: { ...HANDSHAKE, origin, ...headers } })).status;
      assert.equal(await shake(`https://api.example.org:${behind.port}`), 101);
      assert.equal(await shake("https://evil.example"), 403);
      // What a client sends of these headers has no effect.
      assert.equal(await shake("https://evil.example", { "x-forwarded-host": "evil.example" }), 403);
      assert.equal(await shake("https://evil.example", { forwarded: "host=evil.example;proto=https" }), 403);
    });

    test(`${proxy}: requests share connections to the server`, async () => {
      const before = behind.relay.connections;
      for (let n = 0; n < 20; n += 1) {
        const { status, body } = await behind.send("/events/echo", { method: "POST", body: `${n}` });
        assert.deepEqual([status, body], [200, `${n}`]);
      }
      const opened = behind.relay.connections - before;
      assert.ok(opened <= 1, `${opened} connections for 20 requests`);
    });

    test(`${proxy}: server-sent events are not buffered`, async () => {
      const body = JSON.stringify({ to: 5, every_ms: 100 });
      const { status, chunks } = await behind.send("/events/count", {
        method: "POST", body, headers: { accept: "text/event-stream" },
      });
      assert.equal(status, 200);
      const withItems = chunks.filter((chunk) => /^data: \d/m.test(chunk));
      assert.ok(withItems.length >= 3, `the items arrived in ${withItems.length} pieces: ${JSON.stringify(chunks)}`);
    });

    test(`${proxy}: log-ins are limited by the address of the client, which the log names`, async () => {
      let status = 0;
      for (let n = 0; n < 2000 && status !== 429; n += 20) {
        const spoofed = (/** @type {number} */ m) => ({ "x-forwarded-for": `203.0.113.${m}`, forwarded: `for=203.0.113.${m}` });
        const tried = await Promise.all(Array.from({ length: 20 }, (_, m) => logIn(behind, "127.0.0.2", spoofed(m))));
        status = tried.some((response) => response.status === 429) ? 429 : tried[0].status;
      }
      assert.equal(status, 429, "the limit of the client is reached, whatever it sends");
      assert.equal((await logIn(behind, "127.0.0.2")).status, 429);
      assert.equal((await logIn(behind, "127.0.0.3")).status, 401, "another client is not limited");
      // The log is limited to one such line a second.
      for (const start = Date.now(); !/refused a request.*peer=127\.0\.0\.3/.test(behind.log); ) {
        assert.ok(Date.now() - start < LONG, behind.log);
        const foreign = { origin: "https://evil.example" };
        assert.equal((await behind.send("/events", { localAddress: "127.0.0.3", headers: foreign })).status, 403);
      }
    });

    test(`${proxy}: a connection is resumed when the proxy is restarted`, async () => {
      const ws = aaw(`wss://localhost:${behind.port}`, { timeout: LONG });
      assert.deepEqual(await ws.sendAsync("ping"), { pong: true });
      const id = ws.connection;
      const interrupted = new Promise((resolve) => ws.on("interrupted", resolve));
      const resumed = new Promise((resolve) => ws.on("resumed", resolve));
      const numbers = [];
      for await (const number of ws.stream("count", { to: 50, every_ms: 10 })) {
        if (numbers.push(number) === 5) {
          await behind.stopProxy();
          await interrupted;
          await behind.startProxy();
        }
      }
      await resumed;
      assert.deepEqual(numbers, Array.from({ length: 50 }, (_, n) => n + 1));
      assert.equal(ws.connection, id);
      await ws.close();
    });
  });

  for (const [variant, args] of /** @type {const} */ ([
    ["-path-passed-on", ["--path-prefix", "/app"]],
    ["-path-removed", []],
  ])) {
    test(`${proxy}: everything works below a path (${variant.slice(1)})`, { timeout: 5 * LONG }, async (t) => {
      const behind = await Behind.start(proxy, variant, [...args]);
      t.after(() => behind.stop());
      const ws = aaw(`wss://localhost:${behind.port}/app/`, { timeout: LONG });
      assert.deepEqual(await ws.sendAsync("ping"), { pong: true });
      await ws.close();
      const get = async (/** @type {string} */ path) => behind.send(path);
      for (const path of ["/app/", "/app/docs/", "/app/aaw.js", "/app/events", "/app/healthz"]) {
        assert.equal((await get(path)).status, 200, path);
      }
      const page = await behind.send("/app/events", { headers: { accept: "text/html" } });
      assert.match(page.body, /<title>aaw/);
      const script = /"(\/aaw\/[0-9a-f]+\.js)"/.exec(page.body)?.[1];
      assert.ok(script, "the page loads the client below its own path");
      assert.equal((await get(`/app${script}`)).status, 200);
      const folder = await get("/app/docs");
      const location = new URL(folder.headers.location ?? "", `https://api.example.org:${behind.port}/app/docs`);
      assert.deepEqual([folder.status, location.pathname], [307, "/app/docs/"]);
      const stream = await behind.send("/app/events/count", {
        method: "POST", body: '{"to":3}', headers: { accept: "application/x-ndjson" },
      });
      assert.equal(stream.body, "1\n2\n3\n");
      assert.notEqual((await get("/events")).body, (await get("/app/events")).body);
    });
  }
}
