// examples/chat, with several windows: authentication, rooms and presence.

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

/** Starts a server for one test, with a data folder of its own. */
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

/** Opens a window, creates an account and waits until it is in the first room. */
const enter = async (t, url, name, options) => {
  const page = await open(t, browser, url, options);
  await fill(page, name);
  await page.getByRole("button", { name: "Create account" }).click();
  await shows(page, "#members", new RegExp(`${name}@example.org`));
  return page;
};

const send = async (page, text) => {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.getByRole("button", { name: "Send" }).click();
};

/** Waits until the text of the last line, without its author and time, matches. */
const showsLine = (page, pattern) => shows(page, "#lines li:last-child", new RegExp(`${pattern.source}$`));

test("two windows exchange messages", async (t) => {
  const { url } = await serve(t);
  const ada = await enter(t, url, "ada");
  const bob = await enter(t, url, "bob");
  for (const page of [ada, bob]) await shows(page, "#members", /^Members: ada@example.org, bob@example.org$/);

  await send(ada, `Hello <b>Bob</b> & "all" 👋`);
  for (const page of [ada, bob]) await showsLine(page, /Hello <b>Bob<\/b> & "all" 👋/);
  await send(bob, "Hello Ada");
  for (const page of [ada, bob]) {
    await showsLine(page, /Hello Ada/);
    assert.equal(await page.locator("#lines li").count(), 2);
    assert.equal(await page.locator("#lines li.mine").count(), 1);
  }
  assert.match(await ada.textContent("#lines li:last-child small"), /^bob@example.org, /);
});

test("a message can be typed before the response to the last one has arrived, and a refused one is kept", async (t) => {
  const { url } = await serve(t);
  const ada = await enter(t, url, "ada");
  // Within one task of the page, so no response can arrive in between.
  const left = await ada.evaluate(() => {
    const [form, field] = ["say", "text"].map((id) => document.getElementById(id));
    field.value = "first";
    form.requestSubmit();
    const { value } = field;
    field.value = "second";
    return value;
  });
  assert.equal(left, "");
  await showsLine(ada, /first/);
  await ada.getByRole("button", { name: "Send" }).click();
  await showsLine(ada, /second/);
  assert.equal(await ada.inputValue("#text"), "");

  await send(ada, " ");
  await shows(ada, "#error", /^A message has 1 to 500 characters$/);
  assert.equal(await ada.inputValue("#text"), " ");
  await send(ada, "third");
  await showsLine(ada, /third/);
  await shows(ada, "#error", /^$/);
});

test("typing is shown to the other members, until the message is sent or a timeout", async (t) => {
  const { url } = await serve(t);
  const [ada, bob] = [await enter(t, url, "ada"), await enter(t, url, "bob")];
  await ada.getByLabel("Message", { exact: true }).pressSequentially("Hm");
  await shows(bob, "#typing", /^ada@example.org is typing …$/);
  assert.equal(await ada.textContent("#typing"), "");
  await ada.getByRole("button", { name: "Send" }).click();
  await showsLine(bob, /Hm/);
  assert.equal(await bob.textContent("#typing"), "");
  await bob.getByLabel("Message", { exact: true }).pressSequentially("I");
  await shows(ada, "#typing", /^bob@example.org is typing …$/);
  await shows(ada, "#typing", /^$/);
});

test("each room has its own members and history", async (t) => {
  const { url } = await serve(t);
  const [ada, bob] = [await enter(t, url, "ada"), await enter(t, url, "bob")];
  await shows(ada, "#members", /bob/);
  await bob.getByText("books").click();
  await shows(ada, "#members", /^Members: ada@example.org$/);
  await shows(bob, "#members", /^Members: bob@example.org$/);
  await send(ada, "in the tea room");
  await send(bob, "among books");
  await showsLine(ada, /in the tea room/);
  await showsLine(bob, /among books/);
  assert.equal(await ada.locator("#lines li").count(), 1);
  await ada.getByText("books").click();
  await showsLine(ada, /among books/);
  await shows(bob, "#members", /^Members: ada@example.org, bob@example.org$/);
});

test("a new member gets the last 50 lines", async (t) => {
  const { url } = await serve(t);
  const ada = await enter(t, url, "ada");
  for (let n = 1; n <= 55; n += 1) {
    await send(ada, `line ${n}`);
    await showsLine(ada, new RegExp(`line ${n}`));
  }
  const bob = await enter(t, url, "bob");
  await showsLine(bob, /line 55/);
  assert.equal(await bob.locator("#lines li").count(), 50);
  assert.match(await bob.textContent("#lines li"), /line 6$/);
});

test("without a log-in events are refused, and a failed log-in shows the error", async (t) => {
  const { url } = await serve(t);
  const response = await fetch(`${url}/events/auth/say`, { method: "POST", body: '{"room":"tea","text":"Hello"}' });
  assert.equal(response.status, 401);
  assert.deepEqual(await response.json(), { error: "Not authenticated", code: "not_authenticated" });

  const page = await open(t, browser, url);
  await fill(page, "ada");
  await page.getByRole("button", { name: "Log in" }).click();
  await shows(page, "#login-error", /^Invalid credentials$/);
  await page.getByRole("button", { name: "Create account" }).click();
  await shows(page, "#members", /ada/);

  const other = await open(t, browser, url);
  await fill(other, "ada", "another secret");
  await other.getByRole("button", { name: "Create account" }).click();
  await shows(other, "#login-error", /^Email already registered$/);
  assert.equal(await other.locator("#chat").isVisible(), false);
});

test("a reloaded page is still logged in, until it logs out", async (t) => {
  const { url } = await serve(t);
  const [ada, bob] = [await enter(t, url, "ada"), await enter(t, url, "bob")];
  await send(ada, "Hello");
  await ada.reload();
  await shows(ada, "#me", /^ada@example.org$/);
  await showsLine(ada, /Hello/);
  await shows(bob, "#members", /ada/);

  await ada.getByRole("button", { name: "Log out" }).click();
  await ada.getByLabel("Password").waitFor();
  await shows(bob, "#members", /^Members: bob@example.org$/);
  await send(bob, "Ada has left");
  await showsLine(bob, /Ada has left/);
  await ada.reload();
  await ada.getByLabel("Password").waitFor();
  assert.equal(await ada.locator("#lines li").count(), 0);
});

test("a log-out in one window ends the session in another window", async (t) => {
  const { url } = await serve(t);
  const ada = await enter(t, url, "ada");
  // A second window with the same session, as when a tab is duplicated.
  const twin = await ada.context().newPage();
  const token = await ada.evaluate(() => sessionStorage.getItem("aaw/token"));
  assert.match(token, /^[0-9a-f-]{36}$/);
  await twin.addInitScript((token) => sessionStorage.setItem("aaw/token", token), token);
  await twin.goto(url);
  await shows(twin, "#me", /^ada@example.org$/);
  await ada.getByRole("button", { name: "Log out" }).click();
  await shows(twin, "#login-error", /^Session expired$/);
  await twin.getByLabel("Password").waitFor();
  assert.equal(await twin.evaluate(() => sessionStorage.getItem("aaw/token")), null);
});

test("after a restart of the server the session is resumed, and the room entered again", async (t) => {
  const first = await serve(t);
  const [ada, bob] = [await enter(t, first.url, "ada"), await enter(t, first.url, "bob")];
  await send(ada, "Before");
  await showsLine(bob, /Before/);
  await first.stop();
  for (const page of [ada, bob]) await shows(page, "#state", /^connection lost$/);
  assert.equal(await ada.locator("#chat").isVisible(), true, "the user stays logged in");
  const second = await start("aaw-example-chat", { PORT: new URL(first.url).port, CHAT_DATA: first.folder });
  t.after(() => second.stop());
  for (const page of [ada, bob]) {
    await shows(page, "#state", /^connected$/);
    await shows(page, "#members", /^Members: ada@example.org, bob@example.org$/);
    await showsLine(page, /Before/);
  }
  await send(bob, "After");
  await showsLine(ada, /After/);
  assert.equal(await ada.locator("#lines li").count(), 2);
});

test("on a phone the composer is on the screen, and only the messages scroll", async (t) => {
  const { url } = await serve(t);
  for (const height of [844, 500]) {
    const page = await enter(t, url, `ada-${height}`, { viewport: { width: 390, height } });
    for (let line = 1; line <= 30; line += 1) {
      await send(page, `Line ${line}`);
      await showsLine(page, new RegExp(`Line ${line}`));
    }
    const measured = await page.evaluate(() => {
      const bottom = (selector) => document.querySelector(selector).getBoundingClientRect().bottom;
      const { scrollWidth, scrollHeight } = document.documentElement;
      const lines = document.querySelector("#lines");
      return {
        page: [scrollWidth, scrollHeight],
        isVisible: bottom("#text") <= innerHeight && bottom("#say button") <= innerHeight && bottom("#logout") > 0,
        linesScroll: lines.scrollHeight > lines.clientHeight,
        // Positions of scrolling are rounded.
        isLastLineVisible: bottom("#lines li:last-child") <= bottom("#lines") + 1,
      };
    });
    assert.deepEqual(measured, { page: [390, height], isVisible: true, linesScroll: true, isLastLineVisible: true });
  }
});
