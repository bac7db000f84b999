// examples/chat, in windows that talk to each other: SCENARIOS A13 to A18 as a page meets them.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { launch, open, shows } from "./chromium.mjs";
import { start } from "./program.mjs";

let browser;

before(async () => {
  browser = await launch();
});

after(async () => {
  await browser?.close();
});

/** A program of its own for each test, and a folder that it keeps things in. */
const serve = async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "aaw-chat-"));
  const program = await start("aaw-example-chat", { CHAT_DATA: folder });
  t.after(async () => {
    await program.stop();
    await rm(folder, { recursive: true, force: true });
  });
  return { ...program, folder };
};

const fill = async (page, name, password = `${name}'s secret`) => {
  await page.getByLabel("E-mail address").fill(`${name}@example.org`);
  await page.getByLabel("Password").fill(password);
};

/** A window with an account of its own, in the first room. */
const enter = async (t, url, name) => {
  const page = await open(t, browser, url);
  await fill(page, name);
  await page.getByRole("button", { name: "Make an account" }).click();
  await shows(page, "#members", new RegExp(`${name}@example.org`));
  return page;
};

const say = async (page, text) => {
  await page.getByLabel("Say something").fill(text);
  await page.getByRole("button", { name: "Say it" }).click();
};

/** What is said last, without who and when. */
const hears = (page, pattern) => shows(page, "#lines li:last-child", new RegExp(`${pattern.source}$`));

test("two windows talk", async (t) => {
  const { url } = await serve(t);
  const ada = await enter(t, url, "ada");
  const bob = await enter(t, url, "bob");
  for (const page of [ada, bob]) await shows(page, "#members", /^Here: ada@example.org, bob@example.org$/);

  await say(ada, `Hello <b>Bob</b> & "all" 👋`);
  for (const page of [ada, bob]) await hears(page, /Hello <b>Bob<\/b> & "all" 👋/);
  await say(bob, "Hello Ada");
  for (const page of [ada, bob]) {
    await hears(page, /Hello Ada/);
    assert.equal(await page.locator("#lines li").count(), 2);
    assert.equal(await page.locator("#lines li.mine").count(), 1);
  }
  assert.match(await ada.textContent("#lines li:last-child small"), /^bob@example.org, /);
});

test("who is typing is shown to the others, until they say it or stop", async (t) => {
  const { url } = await serve(t);
  const [ada, bob] = [await enter(t, url, "ada"), await enter(t, url, "bob")];
  await ada.getByLabel("Say something").pressSequentially("Hm");
  await shows(bob, "#typing", /^ada@example.org is typing …$/);
  assert.equal(await ada.textContent("#typing"), "");
  await ada.getByRole("button", { name: "Say it" }).click();
  await hears(bob, /Hm/);
  assert.equal(await bob.textContent("#typing"), "");
  await bob.getByLabel("Say something").pressSequentially("I");
  await shows(ada, "#typing", /^bob@example.org is typing …$/);
  await shows(ada, "#typing", /^$/);
});

test("rooms are apart, and each keeps what was said", async (t) => {
  const { url } = await serve(t);
  const [ada, bob] = [await enter(t, url, "ada"), await enter(t, url, "bob")];
  await shows(ada, "#members", /bob/);
  await bob.getByText("books").click();
  await shows(ada, "#members", /^Here: ada@example.org$/);
  await shows(bob, "#members", /^Here: bob@example.org$/);
  await say(ada, "in the tea room");
  await say(bob, "among books");
  await hears(ada, /in the tea room/);
  await hears(bob, /among books/);
  assert.equal(await ada.locator("#lines li").count(), 1);
  await ada.getByText("books").click();
  await hears(ada, /among books/);
  await shows(bob, "#members", /^Here: ada@example.org, bob@example.org$/);
});

test("who comes is shown the last 50 lines", async (t) => {
  const { url } = await serve(t);
  const ada = await enter(t, url, "ada");
  for (let n = 1; n <= 55; n += 1) {
    await say(ada, `line ${n}`);
    await hears(ada, new RegExp(`line ${n}`));
  }
  const bob = await enter(t, url, "bob");
  await hears(bob, /line 55/);
  assert.equal(await bob.locator("#lines li").count(), 50);
  assert.match(await bob.textContent("#lines li"), /line 6$/);
});

test("who is not logged in gets nowhere, and who logs in wrongly is told", async (t) => {
  const { url } = await serve(t);
  const response = await fetch(`${url}/events/auth/say`, { method: "POST", body: '{"room":"tea","text":"Hello"}' });
  assert.equal(response.status, 401);
  assert.deepEqual(await response.json(), { error: "Not authenticated", code: "not_authenticated" });

  const page = await open(t, browser, url);
  await fill(page, "ada");
  await page.getByRole("button", { name: "Log in" }).click();
  await shows(page, "#refused", /^Invalid credentials$/);
  await page.getByRole("button", { name: "Make an account" }).click();
  await shows(page, "#members", /ada/);

  const other = await open(t, browser, url);
  await fill(other, "ada", "another secret");
  await other.getByRole("button", { name: "Make an account" }).click();
  await shows(other, "#refused", /^Email already registered$/);
  assert.equal(await other.locator("#chat").isVisible(), false);
});

test("a page that is loaded again is still logged in, until its window has logged out", async (t) => {
  const { url } = await serve(t);
  const [ada, bob] = [await enter(t, url, "ada"), await enter(t, url, "bob")];
  await say(ada, "Hello");
  await ada.reload();
  await shows(ada, "#me", /^ada@example.org$/);
  await hears(ada, /Hello/);
  await shows(bob, "#members", /ada/);

  await ada.getByRole("button", { name: "Log out" }).click();
  await ada.getByLabel("Password").waitFor();
  await shows(bob, "#members", /^Here: bob@example.org$/);
  await say(bob, "She is gone");
  await hears(bob, /She is gone/);
  await ada.reload();
  await ada.getByLabel("Password").waitFor();
  assert.equal(await ada.locator("#lines li").count(), 0);
});

test("a session that is ended in one window ends in the other that has it", async (t) => {
  const { url } = await serve(t);
  const ada = await enter(t, url, "ada");
  // A second window with the same session: what a browser does when it duplicates a tab.
  const twin = await ada.context().newPage();
  const token = await ada.evaluate(() => sessionStorage.getItem("aaw/token"));
  assert.match(token, /^[0-9a-f-]{36}$/);
  await twin.addInitScript((token) => sessionStorage.setItem("aaw/token", token), token);
  await twin.goto(url);
  await shows(twin, "#me", /^ada@example.org$/);
  await ada.getByRole("button", { name: "Log out" }).click();
  await shows(twin, "#refused", /^Session expired$/);
  await twin.getByLabel("Password").waitFor();
  assert.equal(await twin.evaluate(() => sessionStorage.getItem("aaw/token")), null);
});

test("after the server was away the session is resumed, the room entered again, and the lines are there", async (t) => {
  const first = await serve(t);
  const [ada, bob] = [await enter(t, first.url, "ada"), await enter(t, first.url, "bob")];
  await say(ada, "Before");
  await hears(bob, /Before/);
  await first.stop();
  for (const page of [ada, bob]) await shows(page, "#state", /^connection lost$/);
  assert.equal(await ada.locator("#chat").isVisible(), true, "nobody is logged out");
  const second = await start("aaw-example-chat", { PORT: new URL(first.url).port, CHAT_DATA: first.folder });
  t.after(() => second.stop());
  for (const page of [ada, bob]) {
    await shows(page, "#state", /^connected$/);
    await shows(page, "#members", /^Here: ada@example.org, bob@example.org$/);
    await hears(page, /Before/);
  }
  await say(bob, "After");
  await hears(ada, /After/);
  assert.equal(await ada.locator("#lines li").count(), 2);
});
