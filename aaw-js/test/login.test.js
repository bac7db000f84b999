// Sessions of users: the token is kept, and resumed after a reconnect.

import assert from "node:assert/strict";
import { test } from "node:test";

import { CallError } from "../aaw/failure.js";
import { FakeWorld, settle } from "./support/world.js";

const TOKEN = "5f0c1d9e-0000-4000-8000-000000000001";
const OTHER = "5f0c1d9e-0000-4000-8000-000000000002";
const ADA = { id: "1", email: "ada@example.org" };
const BOB = { id: "2", email: "bob@example.org", allowed: ["auth/*"] };

/** @typedef {import("../aaw/client.js").Client} Client */

/** What a client tells of itself, as it comes. @param {Client} ws */
const heard = (ws) => {
  /** @type {unknown[]} */
  const log = [];
  ws.on("open", () => log.push(["open", ws.identity]));
  ws.on("unauthorized", (error) => log.push(["unauthorized", error.error, ws.identity]));
  ws.on("error", (error) => error instanceof CallError && log.push(["error", error.code, error.error]));
  return log;
};

/** @param {FakeWorld} world @param {Client} ws */
const logIn = async (world, ws, token = TOKEN, user = ADA) => {
  const login = ws.login("ada@example.org", "secret");
  const [[event, body, id]] = /** @type {any} */ (world.socket.take());
  assert.deepEqual([event, body], ["aaw/login", { email: "ada@example.org", password: "secret" }]);
  world.socket.say(["aaw/login", { token, user }, id]);
  assert.deepEqual(await login, { token, user });
};

/** Loses the connection, and has the next one accepted and greeted. @param {FakeWorld} world */
const reconnect = (world) => {
  world.socket.end(1006);
  world.pass(5000);
  world.socket.greet();
};

class FakeStorage {
  /** @type {Map<string, string>} */
  kept = new Map();
  getItem = (/** @type {string} */ key) => this.kept.get(key) ?? null;
  setItem = (/** @type {string} */ key, /** @type {string} */ token) => void this.kept.set(key, token);
  removeItem = (/** @type {string} */ key) => void this.kept.delete(key);
}

test("each helper calls its event, and answers as the server does", async () => {
  const world = new FakeWorld();
  const { login, register, resume, logout, requestReset, setNew } = world.open();
  const calls = [
    login("a@b.c", "pw"),
    register("a@b.c", "pw", 500),
    resume(TOKEN),
    requestReset("a@b.c"),
    setNew(OTHER, "new"),
    logout(),
  ];
  assert.deepEqual(world.socket.take(), [
    ["aaw/login", { email: "a@b.c", password: "pw" }, 1],
    ["aaw/register", { email: "a@b.c", password: "pw" }, 2],
    ["aaw/resume", { token: TOKEN }, 3],
    ["aaw/password/request-reset", { email: "a@b.c" }, 4],
    ["aaw/password/set-new", { token: OTHER, password: "new" }, 5],
    ["aaw/logout", null, 6],
  ]);
  world.socket.say(["aaw/login", { error: "Invalid credentials", code: "not_authenticated" }, 1, "error"]);
  world.socket.say(["aaw/register", { error: "Email already registered", code: "email_taken" }, 2, "error"]);
  world.socket.say(["aaw/resume", { token: TOKEN, user: ADA }, 3]);
  world.socket.say(["aaw/password/request-reset", { ok: true }, 4]);
  world.socket.say(["aaw/password/set-new", { token: OTHER, user: ADA }, 5]);
  world.socket.say(["aaw/logout", { ok: true }, 6]);
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

test("the token of any successful answer is kept, however it was asked for", async () => {
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
      "sendSync that is listened to",
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
    const world = new FakeWorld();
    const ws = world.open();
    assert.deepEqual([ws.token, ws.identity], [null, null], way);
    void call(ws);
    world.socket.take();
    for (const frame of frames) world.socket.say(frame);
    assert.deepEqual([ws.token, ws.identity], [TOKEN, BOB], way);
    await settle();
  }
});

test("other answers, failed ones and pushes of such a name are no log-in", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  const calls = [ws.sendAsync("users/get"), ws.sendAsync("aaw/login"), ws.sendAsync("aaw/login")];
  world.socket.say(["users/get", { token: TOKEN, user: ADA }, 1]);
  world.socket.say(["aaw/login", { error: "Invalid credentials", code: "not_authenticated", token: TOKEN }, 2, "error"]);
  world.socket.say(["aaw/login", { user: ADA }, 3]);
  world.socket.say(["aaw/login", { token: TOKEN, user: ADA }]);
  await Promise.allSettled(calls);
  assert.deepEqual([ws.token, ws.identity], [null, null]);
});

test("after a reconnect the session is resumed before open fires, and before anything else goes out", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  await logIn(world, ws);
  const log = heard(ws);
  world.socket.end(1006);
  assert.deepEqual(ws.identity, ADA, "nobody was logged out");
  const call = ws.sendAsync("auth/whoami");
  ws.sendSync("hello");
  world.pass(50);
  world.socket.accept("aaw.v1");
  assert.deepEqual(world.socket.sent, ['["aaw/hello",{}]', `["aaw/resume",{"token":"${TOKEN}"},1]`]);
  world.socket.say(["aaw/welcome", { connection: "80" }]);
  assert.deepEqual([ws.state, ws.connection, log.length], ["connecting", null, 0]);
  world.socket.take();
  world.socket.say(["aaw/resume", { token: TOKEN, user: BOB }, 1]);
  assert.deepEqual(log, [["open", BOB]]);
  assert.deepEqual([ws.state, ws.connection], ["open", "80"]);
  assert.deepEqual(world.socket.take(), [
    ["auth/whoami", null, 2],
    ["hello", null],
  ]);
  world.socket.say(["auth/whoami", BOB, 2]);
  assert.deepEqual(await call, BOB);
});

test("the answer may come before the welcome", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  await logIn(world, ws);
  const log = heard(ws);
  world.socket.end(1006);
  world.pass(5000);
  world.socket.accept("aaw.v1");
  world.socket.say(["aaw/resume", { token: TOKEN, user: ADA }, 1]);
  assert.deepEqual(log, []);
  world.socket.say(["aaw/welcome", { connection: "80" }]);
  assert.deepEqual(log, [["open", ADA]]);
});

test("a session that is over is told, then the connection opens without it", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  await logIn(world, ws);
  const log = heard(ws);
  reconnect(world);
  world.socket.take();
  world.socket.say(["aaw/resume", { error: "Session expired", code: "not_authenticated" }, 1, "error"]);
  assert.deepEqual(log, [
    ["unauthorized", "Session expired", null],
    ["open", null],
  ]);
  assert.equal(ws.token, null);
  reconnect(world);
  assert.deepEqual(world.socket.take(), [], "there is nothing to be resumed any more");
});

test("a resume that fails for other reasons logs nobody out, and is tried again on the next connection", async () => {
  for (const failure of [
    { error: "Something went wrong", code: "handler" },
    { error: "Too many at once", code: "busy" },
    { error: "Authentication is not enabled — aaw/resume is unreachable", code: "unreachable" },
    { error: "The handler did not answer in time", code: "timeout" },
  ]) {
    const world = new FakeWorld();
    const ws = world.open();
    await logIn(world, ws);
    const log = heard(ws);
    reconnect(world);
    world.socket.take();
    world.socket.say(["aaw/resume", failure, 1, "error"]);
    assert.deepEqual(log, [
      ["error", failure.code, `The session was not resumed: ${failure.error}`],
      ["open", ADA],
    ]);
    reconnect(world);
    assert.deepEqual(world.socket.take(), [["aaw/resume", { token: TOKEN }, 1]]);
  }
});

test("a slow resume logs nobody out: after 3 s what waits goes out, and the late answer counts", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  await logIn(world, ws);
  const log = heard(ws);
  reconnect(world);
  world.socket.take();
  const call = ws.sendAsync("ping", null, Infinity);
  world.pass(2999);
  assert.deepEqual([ws.state, world.socket.take()], ["connecting", []]);
  world.pass(1);
  assert.deepEqual(log, [
    ["error", "timeout", "The session is not resumed yet"],
    ["open", ADA],
  ]);
  assert.deepEqual(world.socket.take(), [["ping", null, 2]], "and no cancel");
  world.socket.say(["aaw/resume", { token: TOKEN, user: BOB }, 1]);
  assert.deepEqual([ws.identity, ws.token, log.length], [BOB, TOKEN, 2]);
  world.socket.say(["ping", 1, 2]);
  assert.equal(await call, 1);
});

test("a slow resume that fails in the end is told, unless somebody has logged in since", async () => {
  const late = async (/** @type {boolean} */ isAnother) => {
    const world = new FakeWorld();
    const ws = world.open();
    await logIn(world, ws);
    reconnect(world);
    world.pass(3000);
    world.socket.take();
    const log = heard(ws);
    if (isAnother) await logIn(world, ws, OTHER, BOB);
    world.socket.say(["aaw/resume", { error: "Session expired", code: "not_authenticated" }, 1, "error"]);
    return [log, ws.token];
  };
  assert.deepEqual(await late(false), [[["unauthorized", "Session expired", null]], null]);
  assert.deepEqual(await late(true), [[], OTHER]);
});

test("a connection that breaks while it resumes logs nobody out, and the next one resumes", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  await logIn(world, ws);
  const log = heard(ws);
  reconnect(world);
  const call = ws.sendAsync("ping");
  reconnect(world);
  assert.deepEqual(world.socket.take(), [["aaw/resume", { token: TOKEN }, 1]]);
  world.socket.say(["aaw/resume", { token: TOKEN, user: ADA }, 1]);
  assert.deepEqual(log, [["open", ADA]]);
  await assert.rejects(call, { code: "timeout", sent: false });
  void ws.close();
});

test("closing while it resumes ends it all", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  await logIn(world, ws);
  reconnect(world);
  const call = ws.sendAsync("ping");
  const closed = ws.close();
  await assert.rejects(call, { code: "no_connection", sent: false });
  world.socket.say(["aaw/resume", { token: TOKEN, user: ADA }, 1]);
  world.socket.end(1000);
  await closed;
  assert.equal(world.timers.size, 0);
});

test("logging out forgets the session, without an event", async () => {
  for (const frame of [
    ["aaw/logout", { ok: true }, 2],
    ["aaw/logout", { error: "Not authenticated", code: "not_authenticated" }, 2, "error"],
  ]) {
    const world = new FakeWorld();
    const ws = world.open();
    await logIn(world, ws);
    const log = heard(ws);
    const call = ws.logout();
    world.socket.say(frame);
    await call.catch(() => {});
    assert.deepEqual([ws.token, ws.identity, log], [null, null, []]);
    reconnect(world);
    assert.deepEqual(world.socket.take(), []);
  }
});

test("a log-out that fails leaves one logged in", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  await logIn(world, ws);
  const call = ws.logout();
  world.socket.say(["aaw/logout", { error: "Something went wrong", code: "handler" }, 2, "error"]);
  await assert.rejects(call);
  assert.deepEqual([ws.token, ws.identity], [TOKEN, ADA]);
});

test("a session that ends elsewhere is told at once", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  await logIn(world, ws);
  const log = heard(ws);
  /** @type {unknown[]} */
  const ended = [];
  ws.on("aaw/session", (detail) => ended.push(detail));
  ws.on("unauthorized", ({ code, data }) => ended.push([code, data]));
  world.socket.say(["aaw/session", { ended: "logout" }]);
  assert.deepEqual(log, [["unauthorized", "Session expired", null]]);
  assert.deepEqual(ended, [["not_authenticated", { ended: "logout" }], { ended: "logout" }]);
  reconnect(world);
  assert.deepEqual(world.socket.take(), []);
});

test("what one has ended oneself is no event, though the server tells it besides", async () => {
  const world = new FakeWorld();
  const ws = world.open();
  await logIn(world, ws);
  const log = heard(ws);
  const change = ws.setNew("from the mail", "new");
  world.socket.say(["aaw/session", { ended: "password" }]);
  world.socket.say(["aaw/password/set-new", { token: OTHER, user: ADA }, 2]);
  await change;
  assert.deepEqual([ws.token, ws.identity], [OTHER, ADA]);
  const logout = ws.logout();
  world.socket.say(["aaw/session", { ended: "logout" }]);
  world.socket.say(["aaw/logout", { ok: true }, 3]);
  await logout;
  assert.deepEqual([ws.token, log], [null, []]);
});

test("who comes to a room and who leaves it is heard", () => {
  const world = new FakeWorld();
  const ws = world.open();
  /** @type {unknown[]} */
  const log = [];
  for (const event of ["aaw/joined", "aaw/left"]) ws.on(event, (detail) => log.push([event, detail]));
  const detail = { room: "a", member: { id: "80", identity: BOB } };
  world.socket.say(["aaw/joined", detail]);
  world.socket.say(["aaw/left", detail]);
  assert.deepEqual(log, [
    ["aaw/joined", detail],
    ["aaw/left", detail],
  ]);
});

test("with a storage the token outlives the page", async () => {
  const world = new FakeWorld();
  const storage = new FakeStorage();
  const first = world.open({ storage });
  await logIn(world, first);
  assert.deepEqual([...storage.kept], [["aaw/token", TOKEN]]);
  await Promise.all([first.close(), world.socket.end(1000)]);

  const second = world.client(undefined, { storage });
  assert.deepEqual([second.token, second.identity], [TOKEN, null]);
  const log = heard(second);
  world.socket.greet();
  assert.deepEqual(world.socket.take(), [["aaw/resume", { token: TOKEN }, 1]]);
  world.socket.say(["aaw/resume", { token: TOKEN, user: ADA }, 1]);
  assert.deepEqual(log, [["open", ADA]]);
  const logout = second.logout();
  world.socket.say(["aaw/logout", { ok: true }, 2]);
  await logout;
  assert.equal(storage.kept.size, 0);
});

test("a storage without a token, or with something else, is one of nobody", () => {
  for (const kept of ["", "x".repeat(100_000)]) {
    const world = new FakeWorld();
    const storage = new FakeStorage();
    storage.kept.set("mine", kept);
    assert.equal(world.client(undefined, { storage, storageKey: "mine" }).token, null);
    world.socket.greet();
    assert.deepEqual(world.socket.take(), []);
  }
});

test("a window that is logged out leaves another window's new token where it is", async () => {
  const world = new FakeWorld();
  const storage = new FakeStorage();
  const ws = world.open({ storage });
  await logIn(world, ws);
  storage.setItem("aaw/token", OTHER);
  world.socket.say(["aaw/session", { ended: "logout" }]);
  assert.deepEqual([ws.token, storage.getItem("aaw/token")], [null, OTHER]);
});

test("a storage that fails is reported, and the client goes on", async (t) => {
  const reported = t.mock.fn();
  const { reportError } = globalThis;
  globalThis.reportError = reported;
  t.after(() => (globalThis.reportError = reportError));
  const fail = () => {
    throw new Error("full");
  };
  const world = new FakeWorld();
  const ws = world.open({ storage: { getItem: fail, setItem: fail, removeItem: fail } });
  await logIn(world, ws);
  assert.equal(ws.token, TOKEN);
  assert.equal(reported.mock.callCount(), 2);
});

test("classic: a session is resumed by the same calls, before open", async () => {
  const world = new FakeWorld();
  const ws = world.client();
  world.socket.accept("");
  const login = ws.login("a@b.c", "pw");
  world.socket.say(["aaw/login", { token: TOKEN, user: ADA }]);
  await login;
  const log = heard(ws);
  const again = () => {
    world.socket.end(1006);
    world.pass(5000);
    world.socket.accept("");
    return world.socket.take();
  };
  assert.deepEqual(again(), [["aaw/resume", { token: TOKEN }, 1]]);
  ws.sendSync("hello");
  assert.deepEqual(world.socket.take(), []);
  // Without an id, as the original's server answers.
  world.socket.say(["aaw/resume", { token: TOKEN, user: BOB }]);
  assert.deepEqual(world.socket.take(), [["hello", null]]);
  assert.deepEqual(log, [["open", BOB]]);

  assert.deepEqual(again(), [["aaw/resume", { token: TOKEN }, 1]]);
  world.socket.say(["aaw/resume", { error: "Session expired" }, 1]);
  assert.deepEqual(log.slice(1), [
    ["unauthorized", "Session expired", null],
    ["open", null],
  ]);
  // What answers a send has no call.
  ws.sendSync("aaw/login", {});
  world.socket.say(["aaw/login", { token: OTHER, user: ADA }]);
  assert.deepEqual([ws.token, ws.identity], [OTHER, ADA]);
});
