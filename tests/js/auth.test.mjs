// Authentication against a real server, over real sockets, including restarts of the server.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import aaw from "../../aaw-js/aaw.js";
import { STOCK, start } from "./server.mjs";

/** A timeout that a passing test never reaches, in ms. */
const LONG = 30_000;

/** @param {import("node:test").TestContext} t */
const serve = async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "aaw-js-auth-"));
  const auth = join(folder, "users.sqlite");
  let server = await start({ events: STOCK, auth });
  t.after(async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });
  return {
    url: server.url,
    /** Kills the server, runs `meanwhile`, and starts it again on the same port. */
    restart: async (meanwhile = async () => {}) => {
      const { port } = server;
      await server.stop("SIGKILL");
      await meanwhile();
      server = await start({ port, events: STOCK, auth });
    },
  };
};

/** @param {import("node:test").TestContext} t @param {string} url */
const client = (t, url, options = {}) => {
  const ws = aaw(url, { timeout: LONG, backoff: { max: 100 }, ...options });
  t.after(() => ws.close());
  return ws;
};

/** @param {ReturnType<typeof aaw>} ws @param {string} event @returns {Promise<any>} */
const next = (ws, event) =>
  new Promise((resolve) => {
    const listener = (/** @type {any} */ detail) => {
      ws.off(event, listener);
      resolve(detail);
    };
    ws.on(event, listener);
  });

test("errors have the original's texts, and the identity is the user of the response", async (t) => {
  const { url } = await serve(t);
  const ws = client(t, url);
  await assert.rejects(ws.sendAsync("auth/whoami"), { error: "Not authenticated", code: "not_authenticated" });
  await assert.rejects(ws.login("ada@example.org", "wrong"), { error: "Invalid credentials" });
  await assert.rejects(ws.login("", ""), { error: "Email and password are required" });
  const { token, user } = await ws.register("ada@example.org", "secret");
  assert.deepEqual([ws.token, ws.identity], [token, user]);
  assert.equal(user.email, "ada@example.org");
  assert.deepEqual(await ws.sendAsync("auth/whoami"), user);
  await assert.rejects(ws.register("ada@example.org", "other one"), { error: "Email already registered" });
  await assert.rejects(ws.resume("00000000-0000-4000-8000-000000000000"), { error: "Session expired" });
  await assert.rejects(ws.setNew("00000000-0000-4000-8000-000000000000", "new secret"), {
    error: "Reset link is invalid or expired",
  });
  await assert.rejects(ws.requestReset("ada@example.org"), /Password reset is not configured/);
  assert.deepEqual(await ws.logout(), { ok: true });
  assert.deepEqual([ws.token, ws.identity], [null, null]);
  await assert.rejects(ws.sendAsync("auth/whoami"), { error: "Not authenticated" });
});

test("after a restart of the server the session is resumed before open and before queued calls", async (t) => {
  const { url, restart } = await serve(t);
  const ws = client(t, url);
  const { user } = await ws.register("ada@example.org", "secret");
  const lost = next(ws, "close");
  const opened = next(ws, "open").then(() => [ws.state, ws.identity]);
  let early;
  await restart(async () => {
    await lost;
    early = ws.sendAsync("auth/whoami");
  });
  assert.deepEqual(await opened, ["open", user]);
  assert.deepEqual(await early, user);
});

test("a session that has ended emits unauthorized, and the connection opens without it", async (t) => {
  const { url, restart } = await serve(t);
  const [ws, other] = [client(t, url), client(t, url)];
  const { token } = await ws.register("ada@example.org", "secret");
  // The storage of a client that still has the token of the ended session.
  const kept = new Map([["aaw/token", token]]);
  const storage = {
    getItem: (/** @type {string} */ key) => kept.get(key) ?? null,
    setItem: (/** @type {string} */ key, /** @type {string} */ value) => void kept.set(key, value),
    removeItem: (/** @type {string} */ key) => void kept.delete(key),
  };
  await other.resume(token);
  const ended = next(ws, "unauthorized");
  const session = next(ws, "aaw/session");
  await other.logout();
  assert.deepEqual(await session, { ended: "logout" });
  const { error: text, code, data } = await ended;
  assert.deepEqual([text, code, data], ["Session expired", "not_authenticated", { ended: "logout" }]);
  await assert.rejects(ws.sendAsync("auth/whoami"), { error: "Not authenticated" });

  await restart();
  const late = client(t, url, { storage });
  const [{ error }, opened] = await Promise.all([next(late, "unauthorized"), next(late, "open")]);
  assert.deepEqual([error, opened.type, late.identity, kept.size], ["Session expired", "open", null, 0]);
  assert.deepEqual(await late.sendAsync("ping"), { pong: true });
});

test("the token authenticates requests over HTTP", async (t) => {
  const { url } = await serve(t);
  const ws = client(t, url);
  const { token, user } = await ws.register("ada@example.org", "secret");
  const http = aaw.http(url, { timeout: LONG, headers: { authorization: `Bearer ${token}` } });
  assert.deepEqual(await http.sendAsync("auth/whoami"), user);
  await assert.rejects(aaw.http(url, { timeout: LONG }).sendAsync("auth/whoami"), { code: "not_authenticated" });
});

test("a room member receives its messages, and a call after a log-in runs as the user", async (t) => {
  const { url } = await serve(t);
  const [ada, bob] = [client(t, url), client(t, url)];
  const [, whoami] = await Promise.all([ada.register("ada@example.org", "secret"), ada.sendAsync("auth/whoami")]);
  assert.equal(whoami.email, "ada@example.org");
  ada.sendSync("room/join", { name: "tea" });
  assert.deepEqual(await ada.sendAsync("room/size", { name: "tea" }), { size: 1 });
  const said = next(ada, "said");
  bob.sendSync("room/say", { name: "tea", text: "milk?" });
  assert.deepEqual(await said, { text: "milk?" });
});
