// Takes the screenshots of the README: examples/*/screenshot.png. It is not a test; run `npm run screenshots` after
// changing a page.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { launch, open, shows } from "./chromium.mjs";
import { call, start } from "./program.mjs";

const CONTEXT_OPTIONS = { viewport: { width: 1200, height: 750 }, colorScheme: "light", reducedMotion: "reduce" };

const browser = await launch();
const screenshot = async (example, environment, prepare) => {
  const program = await start(`aaw-example-${example}`, environment);
  try {
    const page = await open(null, browser, program.url, CONTEXT_OPTIONS);
    await prepare(page, program);
    const path = fileURLToPath(new URL(`../../examples/${example}/screenshot.png`, import.meta.url));
    await page.screenshot({ path });
    console.log(path);
    await page.context().close();
  } finally {
    await program.stop();
  }
};

await screenshot("orders", { ORDERS_EVERY_MS: "20" }, async (page, { url }) => {
  for (const name of ["Salmiak fudge", "Candied ginger"]) {
    await call(url, "orders/add", { category: "confectionery", name });
  }
  await page.getByText("confectionery").click();
  await page.getByText("2 pages").or(page.getByText("No other page")).waitFor();
  await page.waitForFunction(() => {
    const totals = [...document.querySelectorAll("#products .big")].map((total) => Number(total.textContent));
    return totals.length === 5 && totals.every((total) => total > 10);
  });
});

await screenshot("users", {}, async (page) => {
  await page.getByRole("button", { name: "WebSocket" }).click();
  await shows(page, "#count", /^\d{2,3},\d{3}$/);
});

await screenshot("tokens", {}, async (page) => {
  await page.getByLabel("Message", { exact: true }).fill("How does your response get here?");
  await page.getByRole("button", { name: "Send" }).click();
  await shows(page, "li.assistant", /the request to me/);
});

await screenshot("broadcast", {}, async (page, { url }) => {
  const others = [await open(null, browser, url), await open(null, browser, url)];
  await page.getByText("3 pages are connected").waitFor();
  for (const message of ["Lunch is ready", "happy birthday"]) {
    await fetch(`${url}/broadcast/${encodeURIComponent(message)}`);
    await shows(page, "#messages li", new RegExp(message));
  }
  for (const other of others) await other.context().close();
  await page.getByText("No other page").waitFor();
});

const data = await mkdtemp(join(tmpdir(), "aaw-chat-"));
await screenshot("chat", { CHAT_DATA: data }, async (page, { url }) => {
  const other = await open(null, browser, url);
  for (const [one, name] of [
    [page, "ada"],
    [other, "bob"],
  ]) {
    await one.getByLabel("E-mail address").fill(`${name}@example.org`);
    await one.getByLabel("Password").fill("secret");
    await one.getByRole("button", { name: "Create account" }).click();
    await shows(one, "#members", new RegExp(name));
  }
  for (const [one, text] of [
    [other, "Is there any tea left?"],
    [page, "A whole pot. I have just made it."],
    [other, "I am on my way!"],
    [page, "Bring the biscuits"],
  ]) {
    await one.getByLabel("Message", { exact: true }).fill(text);
    await one.getByRole("button", { name: "Send" }).click();
    await shows(page, "#lines li:last-child", new RegExp(text));
  }
  await other.getByLabel("Message", { exact: true }).pressSequentially("W");
  await shows(page, "#typing", /bob/);
});
await rm(data, { recursive: true });

await screenshot("confirm", { CONFIRM_MS: "5000" }, async (page, { url }) => {
  const others = [];
  while (others.length < 4) {
    const other = await open(null, browser, url);
    await shows(other, "#state", /^connected$/);
    others.push(other);
  }
  await shows(page, "#state", /^connected$/);
  const ask = async (question, answers) => {
    const count = call(url, "ask", { question });
    const pages = [page, ...others];
    for (const [at, answer] of answers.entries()) {
      await pages[at].locator("#questions").getByRole("button", { name: answer }).click();
    }
    await count;
  };
  await ask("Do we begin at nine?", ["No", "No", "Yes"]);
  await ask("Is it time for tea?", ["Yes", "Yes", "No", "Yes", "Yes"]);
  // It stays open until the program is stopped.
  call(url, "ask", { question: "And cake?" }).catch(() => {});
  await shows(page, "#questions p", /cake/);
});

await browser.close();
