// Takes the pictures at the top of the README, aaw-light.png and aaw-dark.png: the README's own event, called in a
// terminal and on the server's page. Run it after changing that event or the page:
//
//   cargo build --release -p aaw-server -p aaw-cli
//   npm ci --prefix tests/browser
//   node docs/images/capture.mjs
//
// It needs Chromium and curl, and the port 1337. It writes the event to events/src for the time that it runs.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, rm, writeFile } from "node:fs/promises";
import { delimiter } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { launch, open, shows } from "../../tests/browser/chromium.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** The folder of the programs. */
const PROGRAMS = process.env.AAW_EXAMPLES_BIN_DIR ?? `${ROOT}/target/release`;
const URL_OF_SERVER = "http://localhost:1337";
const FILE = "events/src/hello.rs";

/** The commands of the terminal. */
const COMMANDS = [
  `cat ${FILE}`,
  `curl localhost:1337/events/hello -d '{"name": "Ada"}'`,
  `aaw call ws://localhost:1337 hello '{"name": 1}'`,
  `aaw stream ws://localhost:1337 count '{"to": 3}'`,
];

const environment = { ...process.env, PATH: `${PROGRAMS}${delimiter}${process.env.PATH}`, NO_COLOR: "1" };

/** Starts the server in the root of the repository, and waits until it listens. */
const startServer = async () => {
  const server = spawn("aaw-server", [], { cwd: ROOT, env: environment, stdio: ["ignore", "ignore", "pipe"] });
  for await (const line of createInterface({ input: server.stderr })) {
    if (line.includes(`try the events at ${URL_OF_SERVER}`)) return server;
    console.error(line);
  }
  throw new Error("the server has ended before it was listening");
};

/** Runs a command in a shell, and returns what a terminal would show. */
const run = async (command) => {
  // curl shows its progress unless it writes to a terminal.
  const script = `curl() { command curl --silent --show-error "$@"; }; ${command} 2>&1`;
  const shell = promisify(execFile)("bash", ["-c", script], { cwd: ROOT, env: environment });
  // A call that fails has an exit code other than 0.
  const { stdout } = await shell.catch((error) => error);
  return { command, output: stdout.trimEnd() };
};

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

const frame = (commands, page) => `<!doctype html>
<meta name="color-scheme" content="light dark">
<style>
  :root { --back: #fff; --bar: #ececea; --text: #1c1d20; --soft: #6a6d75; --line: #d5d5d0; --accent: #2f5fd0; }
  @media (prefers-color-scheme: dark) {
    :root { --back: #16181b; --bar: #26292d; --text: #e8e8e6; --soft: #9a9da6; --line: #3a3d43; --accent: #8aacff; }
  }
  body { margin: 0; background: transparent; color: var(--text); }
  main { display: grid; grid-template-columns: 1fr 1fr; gap: 14px; width: 900px; height: 470px; padding: 1px; }
  section {
    display: flex; flex-direction: column; border: 1px solid var(--line); border-radius: 10px; overflow: hidden;
    background: var(--back); min-width: 0;
  }
  header { background: var(--bar); color: var(--soft); font: 12px/28px system-ui, sans-serif; text-align: center; }
  pre { margin: 0; padding: 12px; font: 12px/1.42 ui-monospace, "DejaVu Sans Mono", monospace; white-space: pre-wrap; }
  pre b { color: var(--accent); }
  img { display: block; width: 100%; flex: 1; min-height: 0; object-fit: cover; object-position: top; }
</style>
<main>
  <section>
    <header>terminal</header>
    <pre>${commands.map(({ command, output }) => `<b>$ ${escaped(command)}</b>\n${escaped(output)}`).join("\n\n")}</pre>
  </section>
  <section><header>localhost:1337</header><img src="data:image/png;base64,${page.toString("base64")}"></section>
</main>`;

const readme = await readFile(`${ROOT}/README.md`, "utf8");
const event = readme.match(/```rust\n(\/\/ events\/src\/hello\.rs\n[^`]*)```/)?.[1];
if (!event) throw new Error(`the README has no block that begins with // ${FILE}`);
// Fails if the file exists: it would be somebody's work.
await writeFile(`${ROOT}/${FILE}`, event, { flag: "wx" });
let server, browser;
try {
  server = await startServer();
  browser = await launch();
  const commands = [];
  for (const command of COMMANDS) commands.push(await run(command));
  for (const colorScheme of ["light", "dark"]) {
    const options = { colorScheme, reducedMotion: "reduce", deviceScaleFactor: 2 };
    const page = await open(null, browser, URL_OF_SERVER, { ...options, viewport: { width: 640, height: 500 } });
    await page.getByLabel("Filter the events").fill("h");
    await page.locator("#events button", { hasText: "hello" }).click();
    await page.getByLabel("Body").fill(`{"name": "Ada"}`);
    await page.getByRole("button", { name: "Run" }).click();
    await shows(page, "#out", /Hello, Ada!/);
    await page.locator("#chosen").click();
    const framed = await browser.newPage({ ...options, viewport: { width: 902, height: 472 } });
    await framed.setContent(frame(commands, await page.screenshot({ fullPage: true })), { waitUntil: "load" });
    const path = fileURLToPath(new URL(`aaw-${colorScheme}.png`, import.meta.url));
    await framed.locator("main").screenshot({ path, omitBackground: true });
    console.log(path);
  }
} finally {
  await browser?.close();
  if (server) {
    server.kill();
    await once(server, "exit");
  }
  await rm(`${ROOT}/${FILE}`);
}
