// The section of docs/open-internet.md about nginx: its configuration of nginx and its settings file, as the page prints them.

import assert from "node:assert/strict";
import { test } from "node:test";

import aaw from "../../aaw-js/aaw.js";
import { Behind, LONG } from "./behind.mjs";

const EMAIL = "ada@example.org";
const PASSWORD = "correct horse";

test("nginx: users log in, and wrong passwords of one client refuse no other one", { timeout: 5 * LONG }, async (t) => {
  const behind = await Behind.startSection("open-internet.md", "## On a server, behind nginx");
  t.after(() => behind.stop());
  const added = behind.run(["user", "add", EMAIL, "--config", behind.settings], { AAW_PASSWORD: PASSWORD });
  assert.match(added, /^added ada@example\.org/);
  assert.equal((await behind.send("/readyz")).status, 200);

  const post = (/** @type {string} */ from, /** @type {string} */ event, /** @type {unknown} */ body, headers = {}) =>
    behind.send(`/events/${event}`, { method: "POST", body: JSON.stringify(body), localAddress: from, headers });
  const logIn = async (/** @type {string} */ from, /** @type {string} */ password, headers = {}) =>
    (await post(from, "aaw/login", { email: EMAIL, password }, headers)).status;
  const registered = await post("127.0.0.3", "aaw/register", { email: "eve@example.org", password: PASSWORD });
  assert.deepEqual([registered.status, JSON.parse(registered.body).code], [403, "registration_closed"]);

  assert.equal(await logIn("127.0.0.3", PASSWORD), 200);
  for (let attempt = 0; attempt < 10; attempt += 1) assert.equal(await logIn("127.0.0.2", "wrong"), 401);
  assert.equal(await logIn("127.0.0.2", PASSWORD), 429);
  // nginx adds the address of its peer to what the client claims.
  for (const claimed of ["127.0.0.3", "203.0.113.7", "203.0.113.7, 127.0.0.1"]) {
    assert.equal(await logIn("127.0.0.2", PASSWORD, { "x-forwarded-for": claimed }), 429, claimed);
  }
  assert.equal(await logIn("127.0.0.3", PASSWORD), 200);
  assert.equal(await logIn("127.0.0.4", PASSWORD), 200, "from where this user has not logged in before");

  // A WebSocket of nginx's own machine, which the trusted proxy is as well.
  const ws = aaw(`wss://localhost:${behind.port}`, { timeout: LONG });
  assert.equal((await ws.login(EMAIL, PASSWORD)).user.email, EMAIL);
  await ws.close();
});
