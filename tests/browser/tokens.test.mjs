// examples/tokens: the response of a language model, token by token.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { TIMEOUT, launch, open, shows } from "./chromium.mjs";
import { start } from "./program.mjs";

const EXAMPLE = "aaw-example-tokens";
const STAND_IN_URL = /^OPENAI_BASE_URL=(http:\S+)$/;

let browser;
let api;

before(async () => {
  browser = await launch();
  api = await start("aaw-example-stand-in", { urlPattern: STAND_IN_URL, STAND_IN_EVERY_MS: "5" });
});

after(async () => {
  await browser?.close();
  await api?.stop();
});

/** Starts the example with this model of the stand-in. */
const serve = async (t, model, more = {}) => {
  const environment = { OPENAI_BASE_URL: api.url, OPENAI_MODEL: model, OPENAI_API_KEY: "sk-secret", ...more };
  const example = await start(EXAMPLE, environment);
  t.after(async () => {
    await example.stop();
    assert.ok(!example.log().includes("sk-secret"), "the log contains the key");
  });
  return example;
};

/** The stand-in's counts of requests, once they have reached `least`. */
const requests = async (least = {}) => {
  const url = new URL(`/requests?${new URLSearchParams(least)}`, api.url);
  const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT) });
  return response.json();
};

const ask = async (page, text) => {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.getByRole("button", { name: "Send" }).click();
};

test("a response grows token by token, and ends", async (t) => {
  const { url } = await serve(t, "stand-in");
  const page = await open(t, browser, url);
  // The lengths of the response as it grows.
  await page.evaluate(() => {
    window.lengths = new Set();
    new MutationObserver(() => {
      const response = document.querySelector("li.assistant");
      if (response) window.lengths.add(response.textContent.length);
    }).observe(document.querySelector("#messages"), { childList: true, subtree: true });
  });
  await ask(page, "Who are you?");
  await page.locator("li.assistant:not([aria-busy])").waitFor();
  assert.equal(await page.textContent("li.user"), "Who are you?");
  assert.match(await page.textContent("li.assistant"), /^You said: “Who are you\?” I am only .* Grüße, 你好, 👋!$/);
  assert.ok((await page.evaluate(() => window.lengths.size)) > 10, "the response did not grow in steps");
  assert.equal(await page.textContent("#model"), "Model: stand-in");
  assert.equal(await page.textContent("#error"), "");
});

test("Stop ends the request to the model, and so does closing the page", async (t) => {
  const { url } = await serve(t, "endless");
  const page = await open(t, browser, url);
  const { aborted } = await requests();
  await ask(page, "Tell me everything");
  await shows(page, "li.assistant", /^You said/);
  assert.equal((await requests()).open, 1);
  await page.getByRole("button", { name: "Stop" }).click();
  assert.equal((await requests({ aborted: aborted + 1 })).open, 0);
  await page.locator("li.assistant:not([aria-busy])").waitFor();
  assert.equal(await page.textContent("#error"), "");

  await ask(page, "Once more");
  await page.locator("li.assistant").nth(1).filter({ hasText: "You said" }).waitFor();
  // As a person closes it: without this option, Chromium may end the page before its handlers of `pagehide` have run, and the
  // server then waits for the connection to be resumed.
  await page.close({ runBeforeUnload: true });
  assert.equal((await requests({ aborted: aborted + 2 })).open, 0);
});

test("the event can be read as server-sent events, and aborting the request cancels it", async (t) => {
  const { url } = await serve(t, "endless");
  const page = await open(t, browser, url);
  const { aborted } = await requests();
  const tokens = await page.evaluate(async () => {
    const { default: aaw } = await import("/aaw.js");
    const controller = new AbortController();
    const response = await fetch("/events/chat", {
      method: "POST",
      headers: { accept: "text/event-stream", "content-type": "application/json" },
      body: JSON.stringify({ messages: [{ role: "user", content: "Grüße" }] }),
      signal: controller.signal,
    });
    const tokens = [];
    for await (const { data } of aaw.sse(response)) {
      tokens.push(JSON.parse(data));
      if (tokens.length === 3) break;
    }
    controller.abort();
    return tokens;
  });
  assert.deepEqual(tokens, ["You ", "said: ", "“Grüße” "]);
  assert.equal((await requests({ aborted: aborted + 1 })).open, 0);
});

for (const [model, expected, more] of [
  ["refuses", "The language model's API does not accept the key in OPENAI_API_KEY"],
  ["busy", "The language model is busy; try again later"],
  ["other", "The language model's API answered 404 Not Found: The model `other` does not exist"],
  // Nothing listens on port 1.
  ["out of reach", "The language model cannot be reached", { OPENAI_BASE_URL: "http://127.0.0.1:1/v1" }],
]) {
  test(`a model that is ${model} shows an error`, async (t) => {
    const { url } = await serve(t, model, more);
    const page = await open(t, browser, url);
    await ask(page, "Who are you?");
    await shows(page, "#error", /./);
    assert.equal(await page.textContent("#error"), expected);
  });
}

for (const [model, expected] of [
  ["breaks-off", "The language model's answer broke off"],
  ["fails", "The language model failed: Overloaded"],
]) {
  test(`a response that ${model.replace("-", " ")} stays on the page, with the error`, async (t) => {
    const { url } = await serve(t, model);
    const page = await open(t, browser, url);
    await ask(page, "Who are you?");
    await shows(page, "#error", /./);
    assert.equal(await page.textContent("#error"), expected);
    assert.match(await page.textContent("li.assistant"), /👋!$/);
  });
}

test("without OPENAI_BASE_URL the example uses its built-in stand-in", async (t) => {
  const { url } = await serve(t, "", { OPENAI_BASE_URL: "" });
  const page = await open(t, browser, url);
  await shows(page, "#model", /^Model: a built-in stand-in/);
  await ask(page, "Who are you?");
  await shows(page, "li.assistant", /^You said: “Who are you\?”/);
});
