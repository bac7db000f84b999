// Sessions: the token is stored, and the session resumed after a reconnect.

import assert from "node:assert/strict";
import { test } from "node:test";

import { CallError } from "../aaw/call_error.js";
import { FakePlatform, settle } from "./support/fake_platform.js";

const TOKEN = "5f0c1d9e-0000-4000-8000-000000000001";
const OTHER = "5f0c1d9e-0000-4000-8000-000000000002";
const ADA = { id: "1", email: "ada@example.org" };
const BOB = { id: "2", email: "bob@example.org", allowed: ["auth/*"] };

/** @import { Client } from "../aaw/client.js" */

/** The events that a client emits about itself, in order. @param {Client} ws */
const record = (ws) => {
  /** @type {unknown[]} */
  const log = [];
  ws.on("open", () => log.push(["open", ws.identity]));
  ws.on("unauthorized", (error) => log.push(["unauthorized", error.error, ws.identity]));
  ws.on("error", (error) => error instanceof CallError && log.push(["error", error.code, error.error]));
  return log;
};

/** @param {FakePlatform} platform @param {Client} ws */
const logIn = async (platform, ws, token = TOKEN, user = ADA) => {
  const login = ws.login("ada@example.org", "secret");
  const [[event, body, id]] = /** @type {any} */ (platform.socket.takeSent());
  assert.deepEqual([event, body], ["aaw/login", { email: "ada@example.org", password: "secret" }]);
  platform.socket.deliver(["aaw/login", { token, user }, id]);
  assert.deepEqual(await login, { token, user });
};

/** Loses the connection, and welcomes the next one. @param {FakePlatform} platform */
const reconnect = (platform) => {
  platform.socket.disconnect(1006);
  platform.advance(5000);
  platform.socket.welcome();
};

class FakeStorage {
  /** @type {Map<string, string>} */
  entries = new Map();
  getItem = (/** @type {string} */ key) => this.entries.get(key) ?? null;
  setItem = (/** @type {string} */ key, /** @type {string} */ token) => void this.entries.set(key, token);
  removeItem = (/** @type {string} */ key) => void this.entries.delete(key);
}

test("the option token resumes a session, before the token of the storage, and is stored", async () => {
  const platform = new FakePlatform();
  const storage = new FakeStorage();
  storage.setItem("aaw/token", OTHER);
  const ws = platform.client(undefined, { token: TOKEN, storage, resumption: false });
  const log = record(ws);
  assert.equal(ws.token, TOKEN);
  platform.socket.accept("aaw.v1");
  const [[event, body, id]] = /** @type {any} */ (platform.socket.takeSent());
  assert.deepEqual([event, body], ["aaw/resume", { token: TOKEN }]);
  platform.socket.deliver(["aaw/welcome", { connection: "7f", limits: { calls: 256, message: 1 << 20 } }]);
  assert.deepEqual(log, [], "open waits for the session");
  platform.socket.deliver(["aaw/resume", { token: TOKEN, user: ADA }, id]);
  assert.deepEqual(log, [["open", ADA]]);
  assert.equal(storage.getItem("aaw/token"), TOKEN);
});

test("a token of the option that the server does not know ends with unauthorized", () => {
  const platform = new FakePlatform();
  const ws = platform.client(undefined, { token: TOKEN });
  const log = record(ws);
  platform.socket.welcome();
  platform.socket.deliver(["aaw/resume", { error: "Session expired", code: "not_authenticated" }, 1, "error"]);
  assert.deepEqual(log, [
    ["unauthorized", "Session expired", null],
    ["open", null],
  ]);
  assert.equal(ws.token, null);
});

test("each method calls its event and resolves with the response", async () => {
  const platform = new FakePlatform();
  const { login, register, resume, logout, requestReset, setNew } = platform.connectedClient();
  const calls = [
    login("a@b.c", "pw"),
    register("a@b.c", "pw", 500),
    resume(TOKEN),
    requestReset("a@b.c"),
    setNew(OTHER, "new"),
    logout(),
  ];
  assert.deepEqual(platform.socket.takeSent(), [
    ["aaw/login", { email: "a@b.c", password: "pw" }, 1],
    ["aaw/register", { email: "a@b.c", password: "pw" }, 2],
    ["aaw/resume", { token: TOKEN }, 3],
    ["aaw/password/request-reset", { email: "a@b.c" }, 4],
    ["aaw/password/set-new", { token: OTHER, password: "new" }, 5],
    ["aaw/logout", null, 6],
  ]);
  platform.socket.deliver(["aaw/login", { error: "Invalid credentials", code: "not_authenticated" }, 1, "error"]);
  platform.socket.deliver(["aaw/register", { error: "Email already registered", code: "email_taken" }, 2, "error"]);
  platform.socket.deliver(["aaw/resume", { token: TOKEN, user: ADA }, 3]);
  platform.socket.deliver(["aaw/password/request-reset", { ok: true }, 4]);
  platform.socket.deliver(["aaw/password/set-new", { token: OTHER, user: ADA }, 5]);
  platform.socket.deliver(["aaw/logout", { ok: true }, 6]);
  const settled = await Promise.allSettled(calls);
  assert.deepEqual(
    settled.map((result) => (result.status === "fulfilled" ? result.value : result.reason.error)),
    [
      "Invalid credentials",
      "Email already registered",
      { token: TOKEN, user: ADA },
      { ok: true },
      { token: OTHER, user: ADA },
      { ok: true },
    ],
  );
});

test("the token of each successful response is stored, whatever method made the call", async () => {
  /** @type {[string, (ws: Client) => unknown, unknown[]][]} */
  const ways = [
    ["sendAsync", (ws) => ws.sendAsync("aaw/login", {}), [["aaw/login", { token: TOKEN, user: BOB }, 1]]],
    ["register", (ws) => ws.sendAsync("aaw/register", {}), [["aaw/register", { token: TOKEN, user: BOB }, 1]]],
    ["resume", (ws) => ws.sendAsync("aaw/resume", {}), [["aaw/resume", { token: TOKEN, user: BOB }, 1]]],
    [
      "set-new",
      (ws) => ws.sendAsync("aaw/password/set-new", {}),
      [["aaw/password/set-new", { token: TOKEN, user: BOB }, 1]],
    ],
    [
      "sendSync with a listener",
      (ws) => {
        ws.on("aaw/login", () => {});
        ws.sendSync("aaw/login", {});
      },
      [
        ["aaw/login", { token: TOKEN, user: BOB }, 1, "item"],
        ["aaw/login", null, 1, "end"],
      ],
    ],
  ];
  for (const [way, call, frames] of ways) {
    const platform = new FakePlatform();
    const ws = platform.connectedClient();
    assert.deepEqual([ws.token, ws.identity], [null, null], way);
    void call(ws);
    platform.socket.takeSent();
    for (const frame of frames) platform.socket.deliver(frame);
    assert.deepEqual([ws.token, ws.identity], [TOKEN, BOB], way);
    await settle();
  }
});

test("other responses, failed log-ins and pushes do not change the session", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  const calls = [ws.sendAsync("users/get"), ws.sendAsync("aaw/login"), ws.sendAsync("aaw/login")];
  platform.socket.deliver(["users/get", { token: TOKEN, user: ADA }, 1]);
  platform.socket.deliver([
    "aaw/login",
    { error: "Invalid credentials", code: "not_authenticated", token: TOKEN },
    2,
    "error",
  ]);
  platform.socket.deliver(["aaw/login", { user: ADA }, 3]);
  platform.socket.deliver(["aaw/login", { token: TOKEN, user: ADA }]);
  await Promise.allSettled(calls);
  assert.deepEqual([ws.token, ws.identity], [null, null]);
});

test("after a reconnect the session is resumed before open, and before other messages", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient({ resumption: false });
  await logIn(platform, ws);
  const log = record(ws);
  platform.socket.disconnect(1006);
  assert.deepEqual(ws.identity, ADA, "the identity stays while the connection is lost");
  const call = ws.sendAsync("auth/whoami");
  ws.sendSync("hello");
  platform.advance(50);
  platform.socket.accept("aaw.v1");
  assert.deepEqual(platform.socket.sent, ['["aaw/hello",{}]', `["aaw/resume",{"token":"${TOKEN}"},1]`]);
  platform.socket.deliver(["aaw/welcome", { connection: "80" }]);
  assert.deepEqual([ws.state, ws.connection, log.length], ["connecting", null, 0]);
  platform.socket.takeSent();
  platform.socket.deliver(["aaw/resume", { token: TOKEN, user: BOB }, 1]);
  assert.deepEqual(log, [["open", BOB]]);
  assert.deepEqual([ws.state, ws.connection], ["open", "80"]);
  assert.deepEqual(platform.socket.takeSent(), [
    ["auth/whoami", null, 2],
    ["hello", null],
  ]);
  platform.socket.deliver(["auth/whoami", BOB, 2]);
  assert.deepEqual(await call, BOB);
});

test("the response to the resume call may arrive before the welcome", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient({ resumption: false });
  await logIn(platform, ws);
  const log = record(ws);
  platform.socket.disconnect(1006);
  platform.advance(5000);
  platform.socket.accept("aaw.v1");
  platform.socket.deliver(["aaw/resume", { token: TOKEN, user: ADA }, 1]);
  assert.deepEqual(log, []);
  platform.socket.deliver(["aaw/welcome", { connection: "80" }]);
  assert.deepEqual(log, [["open", ADA]]);
});

test("an expired session emits unauthorized, then the connection opens without it", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  await logIn(platform, ws);
  const log = record(ws);
  reconnect(platform);
  platform.socket.takeSent();
  platform.socket.deliver(["aaw/resume", { error: "Session expired", code: "not_authenticated" }, 1, "error"]);
  assert.deepEqual(log, [
    ["unauthorized", "Session expired", null],
    ["open", null],
  ]);
  assert.equal(ws.token, null);
  reconnect(platform);
  assert.deepEqual(platform.socket.takeSent(), [], "there is no session to resume");
});

test("a resume call that fails for another reason keeps the session, and the next connection repeats it", async () => {
  for (const failure of [
    { error: "Something went wrong", code: "handler" },
    { error: "Too many at once", code: "busy" },
    { error: "Authentication is not enabled — aaw/resume is unreachable", code: "unreachable" },
    { error: "The handler did not respond in time", code: "timeout" },
  ]) {
    const platform = new FakePlatform();
    const ws = platform.connectedClient();
    await logIn(platform, ws);
    const log = record(ws);
    reconnect(platform);
    platform.socket.takeSent();
    platform.socket.deliver(["aaw/resume", failure, 1, "error"]);
    assert.deepEqual(log, [
      ["error", failure.code, `The session was not resumed: ${failure.error}`],
      ["open", ADA],
    ]);
    reconnect(platform);
    assert.deepEqual(platform.socket.takeSent(), [["aaw/resume", { token: TOKEN }, 1]]);
  }
});

test("after 3 s of resuming, queued messages are sent, and the late response is accepted", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  await logIn(platform, ws);
  const log = record(ws);
  reconnect(platform);
  platform.socket.takeSent();
  const call = ws.sendAsync("ping", null, Infinity);
  platform.advance(2999);
  assert.deepEqual([ws.state, platform.socket.takeSent()], ["connecting", []]);
  platform.advance(1);
  assert.deepEqual(log, [
    ["error", "timeout", "The session is not resumed yet"],
    ["open", ADA],
  ]);
  assert.deepEqual(platform.socket.takeSent(), [["ping", null, 2]], "without a cancel");
  platform.socket.deliver(["aaw/resume", { token: TOKEN, user: BOB }, 1]);
  assert.deepEqual([ws.identity, ws.token, log.length], [BOB, TOKEN, 2]);
  platform.socket.deliver(["ping", 1, 2]);
  assert.equal(await call, 1);
});

test("a late failure to resume emits unauthorized, unless the user has logged in since", async () => {
  const failLate = async (/** @type {boolean} */ hasLoggedIn) => {
    const platform = new FakePlatform();
    const ws = platform.connectedClient();
    await logIn(platform, ws);
    reconnect(platform);
    platform.advance(3000);
    platform.socket.takeSent();
    const log = record(ws);
    if (hasLoggedIn) await logIn(platform, ws, OTHER, BOB);
    platform.socket.deliver(["aaw/resume", { error: "Session expired", code: "not_authenticated" }, 1, "error"]);
    return [log, ws.token];
  };
  assert.deepEqual(await failLate(false), [[["unauthorized", "Session expired", null]], null]);
  assert.deepEqual(await failLate(true), [[], OTHER]);
});

test("a connection that is lost while resuming keeps the session, and the next one resumes it", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  await logIn(platform, ws);
  const log = record(ws);
  reconnect(platform);
  const call = ws.sendAsync("ping");
  reconnect(platform);
  assert.deepEqual(platform.socket.takeSent(), [["aaw/resume", { token: TOKEN }, 1]]);
  platform.socket.deliver(["aaw/resume", { token: TOKEN, user: ADA }, 1]);
  assert.deepEqual(log, [["open", ADA]]);
  await assert.rejects(call, { code: "timeout", sent: false });
  void ws.close();
});

test("close while resuming rejects calls and closes the client", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  await logIn(platform, ws);
  reconnect(platform);
  const call = ws.sendAsync("ping");
  const closed = ws.close();
  await assert.rejects(call, { code: "no_connection", sent: false });
  platform.socket.deliver(["aaw/resume", { token: TOKEN, user: ADA }, 1]);
  platform.socket.disconnect(1000);
  await closed;
  assert.equal(platform.timers.size, 0);
});

test("logging out removes the session without an event", async () => {
  for (const frame of [
    ["aaw/logout", { ok: true }, 2],
    ["aaw/logout", { error: "Not authenticated", code: "not_authenticated" }, 2, "error"],
  ]) {
    const platform = new FakePlatform();
    const ws = platform.connectedClient();
    await logIn(platform, ws);
    const log = record(ws);
    const call = ws.logout();
    platform.socket.deliver(frame);
    await call.catch(() => {});
    assert.deepEqual([ws.token, ws.identity, log], [null, null, []]);
    reconnect(platform);
    assert.deepEqual(platform.socket.takeSent(), []);
  }
});

test("a failed log-out keeps the session", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  await logIn(platform, ws);
  const call = ws.logout();
  platform.socket.deliver(["aaw/logout", { error: "Something went wrong", code: "handler" }, 2, "error"]);
  await assert.rejects(call);
  assert.deepEqual([ws.token, ws.identity], [TOKEN, ADA]);
});

test("a session that is ended elsewhere emits unauthorized at once", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  await logIn(platform, ws);
  const log = record(ws);
  /** @type {unknown[]} */
  const ended = [];
  ws.on("aaw/session", (detail) => ended.push(detail));
  ws.on("unauthorized", ({ code, data }) => ended.push([code, data]));
  platform.socket.deliver(["aaw/session", { ended: "logout" }]);
  assert.deepEqual(log, [["unauthorized", "Session expired", null]]);
  assert.deepEqual(ended, [["not_authenticated", { ended: "logout" }], { ended: "logout" }]);
  reconnect(platform);
  assert.deepEqual(platform.socket.takeSent(), []);
});

test("a session that the client ended itself emits no event when the server announces its end", async () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  await logIn(platform, ws);
  const log = record(ws);
  const change = ws.setNew("from the mail", "new");
  platform.socket.deliver(["aaw/session", { ended: "password" }]);
  platform.socket.deliver(["aaw/password/set-new", { token: OTHER, user: ADA }, 2]);
  await change;
  assert.deepEqual([ws.token, ws.identity], [OTHER, ADA]);
  const logout = ws.logout();
  platform.socket.deliver(["aaw/session", { ended: "logout" }]);
  platform.socket.deliver(["aaw/logout", { ok: true }, 3]);
  await logout;
  assert.deepEqual([ws.token, log], [null, []]);
});

test("aaw/joined and aaw/left are passed to listeners", () => {
  const platform = new FakePlatform();
  const ws = platform.connectedClient();
  /** @type {unknown[]} */
  const log = [];
  for (const event of ["aaw/joined", "aaw/left"]) ws.on(event, (detail) => log.push([event, detail]));
  const detail = { room: "a", member: { id: "80", identity: BOB } };
  platform.socket.deliver(["aaw/joined", detail]);
  platform.socket.deliver(["aaw/left", detail]);
  assert.deepEqual(log, [
    ["aaw/joined", detail],
    ["aaw/left", detail],
  ]);
});

test("a stored token resumes the session in the next client", async () => {
  const platform = new FakePlatform();
  const storage = new FakeStorage();
  const first = platform.connectedClient({ storage });
  await logIn(platform, first);
  assert.deepEqual([...storage.entries], [["aaw/token", TOKEN]]);
  await Promise.all([first.close(), platform.socket.disconnect(1000)]);

  const second = platform.client(undefined, { storage });
  assert.deepEqual([second.token, second.identity], [TOKEN, null]);
  const log = record(second);
  platform.socket.welcome();
  assert.deepEqual(platform.socket.takeSent(), [["aaw/resume", { token: TOKEN }, 1]]);
  platform.socket.deliver(["aaw/resume", { token: TOKEN, user: ADA }, 1]);
  assert.deepEqual(log, [["open", ADA]]);
  const logout = second.logout();
  platform.socket.deliver(["aaw/logout", { ok: true }, 2]);
  await logout;
  assert.equal(storage.entries.size, 0);
});

test("an empty or oversized stored token is ignored", () => {
  for (const value of ["", "x".repeat(100_000)]) {
    const platform = new FakePlatform();
    const storage = new FakeStorage();
    storage.entries.set("mine", value);
    assert.equal(platform.client(undefined, { storage, storageKey: "mine" }).token, null);
    platform.socket.welcome();
    assert.deepEqual(platform.socket.takeSent(), []);
  }
});

test("a window whose session ends does not remove another window's newer token", async () => {
  const platform = new FakePlatform();
  const storage = new FakeStorage();
  const ws = platform.connectedClient({ storage });
  await logIn(platform, ws);
  storage.setItem("aaw/token", OTHER);
  platform.socket.deliver(["aaw/session", { ended: "logout" }]);
  assert.deepEqual([ws.token, storage.getItem("aaw/token")], [null, OTHER]);
});

test("an error of the storage is reported, and the client continues", async (t) => {
  const reported = t.mock.fn();
  const { reportError } = globalThis;
  globalThis.reportError = reported;
  t.after(() => (globalThis.reportError = reportError));
  const fail = () => {
    throw new Error("full");
  };
  const platform = new FakePlatform();
  const ws = platform.connectedClient({ storage: { getItem: fail, setItem: fail, removeItem: fail } });
  await logIn(platform, ws);
  assert.equal(ws.token, TOKEN);
  assert.equal(reported.mock.callCount(), 2);
});

test("classic: the session is resumed before open", async () => {
  const platform = new FakePlatform();
  const ws = platform.client();
  platform.socket.accept("");
  const login = ws.login("a@b.c", "pw");
  platform.socket.deliver(["aaw/login", { token: TOKEN, user: ADA }]);
  await login;
  const log = record(ws);
  const reconnectClassic = () => {
    platform.socket.disconnect(1006);
    platform.advance(5000);
    platform.socket.accept("");
    return platform.socket.takeSent();
  };
  assert.deepEqual(reconnectClassic(), [["aaw/resume", { token: TOKEN }, 1]]);
  ws.sendSync("hello");
  assert.deepEqual(platform.socket.takeSent(), []);
  // Without an id, as the original's server responds.
  platform.socket.deliver(["aaw/resume", { token: TOKEN, user: BOB }]);
  assert.deepEqual(platform.socket.takeSent(), [["hello", null]]);
  assert.deepEqual(log, [["open", BOB]]);

  assert.deepEqual(reconnectClassic(), [["aaw/resume", { token: TOKEN }, 1]]);
  platform.socket.deliver(["aaw/resume", { error: "Session expired" }, 1]);
  assert.deepEqual(log.slice(1), [
    ["unauthorized", "Session expired", null],
    ["open", null],
  ]);
  // The response to a one-way send belongs to no call.
  ws.sendSync("aaw/login", {});
  platform.socket.deliver(["aaw/login", { token: OTHER, user: ADA }]);
  assert.deepEqual([ws.token, ws.identity], [OTHER, ADA]);
});
