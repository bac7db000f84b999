// The pictures of the README: examples/*/screenshot.png. Not part of the tests: `npm run screenshots`, when a page has
// changed.

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

await browser.close();
