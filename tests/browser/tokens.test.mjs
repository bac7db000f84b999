// examples/tokens, SCENARIOS D1 to D3.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { PATIENCE, launch, open, shows } from "./chromium.mjs";
import { start } from "./program.mjs";

const EXAMPLE = "aaw-example-tokens";
const SAYS = /^OPENAI_BASE_URL=(http:\S+)$/;

let browser;
let api;

before(async () => {
  browser = await launch();
  api = await start("aaw-example-stand-in", { says: SAYS, STAND_IN_EVERY_MS: "5" });
});

after(async () => {
  await browser?.close();
  await api?.stop();
});

/** The example, asking this model of the stand-in. */
const asking = async (t, model, more = {}) => {
  const environment = { OPENAI_BASE_URL: api.url, OPENAI_MODEL: model, OPENAI_API_KEY: "sk-secret", ...more };
  const example = await start(EXAMPLE, environment);
  t.after(async () => {
    await example.stop();
    assert.ok(!example.log().includes("sk-secret"), "the key is in the log");
  });
  return example;
};

/** What the stand-in counts, once there are so many more of what is asked for. */
const requests = async (least = {}) => {
  const url = new URL(`/requests?${new URLSearchParams(least)}`, api.url);
  const response = await fetch(url, { signal: AbortSignal.timeout(PATIENCE) });
  return response.json();
};

const ask = async (page, text) => {
  await page.getByLabel("Say something").fill(text);
  await page.getByRole("button", { name: "Send" }).click();
};

test("an answer grows token by token, and ends", async (t) => {
  const { url } = await asking(t, "stand-in");
  const page = await open(t, browser, url);
  // Each time that it has grown.
  await page.evaluate(() => {
    window.lengths = new Set();
    new MutationObserver(() => {
      const answer = document.querySelector("li.assistant");
      if (answer) window.lengths.add(answer.textContent.length);
    }).observe(document.querySelector("#said"), { childList: true, subtree: true });
  });
  await ask(page, "Who are you?");
  await page.locator("li.assistant:not([aria-busy])").waitFor();
  assert.equal(await page.textContent("li.user"), "Who are you?");
  assert.match(await page.textContent("li.assistant"), /^You said: “Who are you\?” I am only .* Grüße, 你好, 👋!$/);
  assert.ok((await page.evaluate(() => window.lengths.size)) > 10, "it did not grow");
  assert.equal(await page.textContent("#model"), "stand-in answers.");
  assert.equal(await page.textContent("#wrong"), "");
});

test("Stop ends the request to the model, and so does closing the page", async (t) => {
  const { url } = await asking(t, "endless");
  const page = await open(t, browser, url);
  const { aborted } = await requests();
  await ask(page, "Tell me everything");
  await shows(page, "li.assistant", /^You said/);
  assert.equal((await requests()).open, 1);
  await page.getByRole("button", { name: "Stop" }).click();
  assert.equal((await requests({ aborted: aborted + 1 })).open, 0);
  await page.locator("li.assistant:not([aria-busy])").waitFor();
  assert.equal(await page.textContent("#wrong"), "");

  await ask(page, "Once more");
  await page.locator("li.assistant").nth(1).filter({ hasText: "You said" }).waitFor();
  await page.close();
  assert.equal((await requests({ aborted: aborted + 2 })).open, 0);
});

test("the same event is server-sent events over one POST, and hanging up ends it", async (t) => {
  const { url } = await asking(t, "endless");
  const page = await open(t, browser, url);
  const { aborted } = await requests();
  const tokens = await page.evaluate(async () => {
    const { default: aaw } = await import("/aaw.js");
    const hangUp = new AbortController();
    const response = await fetch("/events/chat", {
      method: "POST",
      headers: { accept: "text/event-stream", "content-type": "application/json" },
      body: JSON.stringify({ messages: [{ role: "user", content: "Grüße" }] }),
      signal: hangUp.signal,
    });
    const tokens = [];
    for await (const { data } of aaw.sse(response)) {
      tokens.push(JSON.parse(data));
      if (tokens.length === 3) break;
    }
    hangUp.abort();
    return tokens;
  });
  assert.deepEqual(tokens, ["You ", "said: ", "“Grüße” "]);
  assert.equal((await requests({ aborted: aborted + 1 })).open, 0);
});

for (const [model, expected, more] of [
  ["refuses", "The language model's API does not accept the key in OPENAI_API_KEY"],
  ["busy", "The language model is busy; try again later"],
  ["other", "The language model's API answered 404 Not Found: The model `other` does not exist"],
  // Nobody listens on port 1 of this machine.
  ["out of reach", "The language model cannot be reached", { OPENAI_BASE_URL: "http://127.0.0.1:1/v1" }],
]) {
  test(`a model that is ${model} is an error that one understands`, async (t) => {
    const { url } = await asking(t, model, more);
    const page = await open(t, browser, url);
    await ask(page, "Who are you?");
    await shows(page, "#wrong", /./);
    assert.equal(await page.textContent("#wrong"), expected);
  });
}

for (const [model, expected] of [
  ["breaks-off", "The language model's answer broke off"],
  ["fails", "The language model failed: Overloaded"],
]) {
  test(`an answer that ${model.replace("-", " ")} stays, with the error`, async (t) => {
    const { url } = await asking(t, model);
    const page = await open(t, browser, url);
    await ask(page, "Who are you?");
    await shows(page, "#wrong", /./);
    assert.equal(await page.textContent("#wrong"), expected);
    assert.match(await page.textContent("li.assistant"), /👋!$/);
  });
}

test("without an address the example brings its own stand-in", async (t) => {
  const { url } = await asking(t, "", { OPENAI_BASE_URL: "" });
  const page = await open(t, browser, url);
  await shows(page, "#model", /^A stand-in answers/);
  await ask(page, "Who are you?");
  await shows(page, "li.assistant", /^You said: “Who are you\?”/);
});
