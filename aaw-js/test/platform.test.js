// What the client listens to in a page. Node has no page, so the globals are those of the test.

import assert from "node:assert/strict";
import { test } from "node:test";

import { platform } from "../aaw/platform.js";

/** Makes this program a page for one test. @param {import("node:test").TestContext} t */
const becomePage = (t) => {
  const page = new EventTarget();
  const document = Object.assign(new EventTarget(), { visibilityState: "visible" });
  const globals = {
    document,
    addEventListener: page.addEventListener.bind(page),
    removeEventListener: page.removeEventListener.bind(page),
  };
  for (const [name, value] of Object.entries(globals)) Object.defineProperty(globalThis, name, { value, configurable: true });
  t.after(() => {
    for (const name of Object.keys(globals)) Reflect.deleteProperty(globalThis, name);
  });
  return { page, document };
};

test("the client is woken when the network is back, and when the page is visible or thaws", (t) => {
  const { page, document } = becomePage(t);
  /** @type {string[]} */
  const woken = [];
  let cause = "";
  const remove = platform.onWake(() => woken.push(cause));
  const fire = (/** @type {EventTarget} */ target, /** @type {string} */ type, state = "visible") => {
    document.visibilityState = state;
    cause = `${type} ${state}`;
    target.dispatchEvent(new Event(type));
  };
  fire(page, "online");
  fire(document, "visibilitychange");
  fire(document, "visibilitychange", "hidden");
  fire(document, "resume", "hidden");
  assert.deepEqual(woken.splice(0), ["online visible", "visibilitychange visible", "resume hidden"]);
  remove();
  fire(page, "online");
  fire(document, "visibilitychange");
  fire(document, "resume");
  assert.deepEqual(woken, []);
});

test("a page is left with `pagehide`, and comes back with a `pageshow` that is not that of its load", (t) => {
  const { page } = becomePage(t);
  /** @type {string[]} */
  const events = [];
  const remove = platform.onPageChange(() => events.push("hide"), () => events.push("show"));
  const fire = (/** @type {string} */ type, persisted = false) => page.dispatchEvent(Object.assign(new Event(type), { persisted }));
  fire("pageshow");
  fire("pagehide");
  fire("pageshow", true);
  fire("pagehide", true);
  assert.deepEqual(events.splice(0), ["hide", "show", "hide"]);
  remove();
  fire("pagehide");
  fire("pageshow", true);
  assert.deepEqual(events, []);
});

test("outside of a page nothing is listened to, and there is no storage", () => {
  platform.onWake(() => {})();
  platform.onPageChange(() => {}, () => {})();
  assert.throws(() => platform.sessionStorage().getItem("aaw/resumption"));
});
