// Each snippet of the documentation is compiled or run as it is printed. PAGES selects pages or single snippets:
// PAGES="docs/http.md docs/page.md:82".

import { cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join, resolve } from "node:path";
import { test } from "node:test";

import { readPage } from "./markdown.mjs";
import { serve, freePort, program } from "./page_server.mjs";
import { pages, ROOT } from "./pages.mjs";
import { plan } from "./plan.mjs";
import { runSnippet } from "./run_snippet.mjs";
import { slugOf, Workspace } from "./workspace.mjs";

const TARGET = resolve(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"));
const workspace = new Workspace(ROOT, TARGET);

const chosen = (process.env.PAGES ?? "").split(/\s+/).filter(Boolean).map((page) => page.split(":"));
const all = [];
for (const file of pages()) {
  const choice = chosen.filter(([page]) => page === file);
  if (chosen.length > 0 && choice.length === 0) continue;
  const { snippets, events } = readPage(ROOT, file);
  const lines = choice.map(([, line]) => Number(line)).filter(Boolean);
  const port = await freePort();
  const plans = snippets.map(plan);
  workspace.add(file, plans, events, port);
  all.push({ file, plans, port, isChosen: ({ line }) => lines.length === 0 || lines.includes(line) });
}

for (const [page, line] of chosen) {
  const found = all.find(({ file }) => file === page);
  if (!found) throw new Error(`PAGES: ${page} is not a page with tested snippets`);
  if (line && !found.plans.some((plan) => plan.line === Number(line))) throw new Error(`PAGES: ${page} has no snippet at line ${line}`);
}

// Not a hook: a hook that fails is ignored in a file without tests.
let compiled;
test("the Rust snippets compile, and their unit tests pass", () => {
  compiled = false;
  workspace.build();
  compiled = true;
});

/** The working directory of a page, with the package `my-events` or the folder `events` if a command uses it. */
const prepare = (slug, plans, eventsFolder) => {
  const folder = join(TARGET, "docs-snippets", slug, "run");
  rmSync(folder, { recursive: true, force: true });
  const work = join(folder, "work");
  mkdirSync(join(work, "node_modules"), { recursive: true });
  symlinkSync(join(ROOT, "aaw-js"), join(work, "node_modules/aaw-js"));
  // The library of the page's server, as a folder of libraries.
  if (plans.some(({ kind, code }) => kind === "sh" && /^aaw-server events /m.test(code))) symlinkSync("../events", join(work, "events"));
  if (eventsFolder && plans.some(({ kind, code }) => kind === "sh" && code.includes("my-events"))) {
    cpSync(eventsFolder, join(work, "my-events"), { recursive: true });
    writeFileSync(join(work, "my-events/Cargo.toml"), workspace.eventsManifest("my-events", true));
    cpSync(join(ROOT, "Cargo.lock"), join(work, "my-events/Cargo.lock"));
  }
  return { folder, work };
};

for (const { file, plans, port, isChosen } of all) {
  const runnable = plans.filter((plan) => !["printed", "event", "fragment"].includes(plan.kind) && isChosen(plan));
  if (runnable.length === 0) continue;
  test(file, async (t) => {
    if (!compiled) throw new Error("the Rust snippets do not compile; see the first test");
    const slug = slugOf(file);
    const page = workspace.pages.find((page) => page.slug === slug);
    const { folder, work } = prepare(slug, plans, page.hasEvents ? join(workspace.folder, slug, "events") : undefined);
    const stock = join(program("AAW_EXAMPLES_BIN_DIR"), `libaaw_events.${process.platform === "darwin" ? "dylib" : "so"}`);
    const server = await serve(folder, page.hasEvents ? workspace.library(slug) : stock, port);
    t.after(() => server.stop());
    const otherPort = await freePort();
    const path = [dirname(program("AAW_SERVER_BIN")), dirname(program("AAW_BIN")), process.env.PATH].join(delimiter);
    // The variables of this test are not settings of the server, which would warn about them.
    const { AAW_SERVER_BIN: _server, AAW_BIN: _cli, AAW_EXAMPLES_BIN_DIR: _events, ...inherited } = process.env;
    const env = { ...inherited, PATH: path, CARGO_TARGET_DIR: TARGET, CARGO_TERM_COLOR: "never", NO_COLOR: "1" };
    for (const plan of runnable) {
      await t.test(`line ${plan.line}: ${plan.language} ${plan.directive}`, (t) =>
        runSnippet(plan, { root: ROOT, work, env, server, otherPort, workspace, slug, t }));
    }
  });
}
