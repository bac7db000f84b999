// The pictures of the README: examples/*/screenshot.png. Not part of the tests: `npm run screenshots`, when a page has
// changed.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { launch, open, shows } from "./chromium.mjs";
import { call, start } from "./program.mjs";

const LOOKS = { viewport: { width: 1200, height: 750 }, colorScheme: "light", reducedMotion: "reduce" };

const browser = await launch();
const picture = async (example, environment, prepare) => {
  const program = await start(`aaw-example-${example}`, environment);
  try {
    const page = await open(null, browser, program.url, LOOKS);
    await prepare(page, program);
    const path = fileURLToPath(new URL(`../../examples/${example}/screenshot.png`, import.meta.url));
    await page.screenshot({ path });
    console.log(path);
    await page.context().close();
  } finally {
    await program.stop();
  }
};

await picture("orders", { ORDERS_EVERY_MS: "20" }, async (page, { url }) => {
  for (const name of ["Salmiak fudge", "Candied ginger"]) {
    await call(url, "orders/add", { category: "confectionery", name });
  }
  await page.getByText("confectionery").click();
  await page.getByText("2 pages").or(page.getByText("Nobody else")).waitFor();
  await page.waitForFunction(() => {
    const totals = [...document.querySelectorAll("#products .big")].map((total) => Number(total.textContent));
    return totals.length === 5 && totals.every((total) => total > 10);
  });
});

await picture("users", {}, async (page) => {
  await page.getByRole("button", { name: "WebSocket" }).click();
  await shows(page, "#count", /^\d{2,3},\d{3}$/);
});

await picture("tokens", {}, async (page) => {
  await page.getByLabel("Say something").fill("How does what you say get here?");
  await page.getByRole("button", { name: "Send" }).click();
  await shows(page, "li.assistant", /the request to me/);
});

await picture("broadcast", {}, async (page, { url }) => {
  const others = [await open(null, browser, url), await open(null, browser, url)];
  await page.getByText("3 are connected").waitFor();
  for (const message of ["Lunch is ready", "happy birthday"]) {
    await fetch(`${url}/broadcast/${encodeURIComponent(message)}`);
    await shows(page, "#messages li", new RegExp(message));
  }
  for (const other of others) await other.context().close();
  await page.getByText("Nobody else").waitFor();
});

const data = await mkdtemp(join(tmpdir(), "aaw-chat-"));
await picture("chat", { CHAT_DATA: data }, async (page, { url }) => {
  const other = await open(null, browser, url);
  for (const [one, name] of [
    [page, "ada"],
    [other, "bob"],
  ]) {
    await one.getByLabel("E-mail address").fill(`${name}@example.org`);
    await one.getByLabel("Password").fill("secret");
    await one.getByRole("button", { name: "Make an account" }).click();
    await shows(one, "#members", new RegExp(name));
  }
  for (const [one, text] of [
    [other, "Is there any tea left?"],
    [page, "A whole pot. Somebody has just made it."],
    [other, "I am on my way!"],
    [page, "Bring the biscuits"],
  ]) {
    await one.getByLabel("Say something").fill(text);
    await one.getByRole("button", { name: "Say it" }).click();
    await shows(page, "#lines li:last-child", new RegExp(text));
  }
  await other.getByLabel("Say something").pressSequentially("W");
  await shows(page, "#typing", /bob/);
});
await rm(data, { recursive: true });

await picture("confirm", { CONFIRM_MS: "5000" }, async (page, { url }) => {
  const others = [];
  while (others.length < 4) {
    const other = await open(null, browser, url);
    await shows(other, "#state", /^connected$/);
    others.push(other);
  }
  await shows(page, "#state", /^connected$/);
  const answers = async (question, all) => {
    const count = call(url, "ask", { question });
    const pages = [page, ...others];
    for (const [at, answer] of all.entries()) {
      await pages[at].locator("#asked").getByRole("button", { name: answer }).click();
    }
    await count;
  };
  await answers("Do we begin at nine?", ["No", "No", "Yes"]);
  await answers("Shall we have tea?", ["Yes", "Yes", "No", "Yes", "Yes"]);
  // Nobody is there to answer it when the program ends.
  call(url, "ask", { question: "And cake?" }).catch(() => {});
  await shows(page, "#asked p", /cake/);
});

await browser.close();
