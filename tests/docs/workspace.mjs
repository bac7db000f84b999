// Compiles the Rust snippets of all pages: one workspace, with a package of events and one of programs for each page.

import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { sharedDependencies } from "./shared_dependencies.mjs";

const FRAGMENT_HEAD = `#![allow(unused)]
use futures_util::StreamExt;
use serde_json::{json, Value};
use std::time::Duration;
`;

/** The signature of the function that a fragment is compiled in. */
const FRAGMENT_SIGNATURES = {
  "": "pub async fn fragment(client: aaw_client::Client) -> Result<(), Box<dyn std::error::Error>> {",
  "fragment server":
    "pub async fn fragment(server: aaw_server::Server, handle: aaw_server::Handle) -> Result<(), Box<dyn std::error::Error>> {",
  "fragment handler":
    "pub async fn fragment(body: Value, services: aaw_event::prelude::Services) -> aaw_event::prelude::Result<()> {",
};

export const slugOf = (file) => file.replace(/\.md$/, "").replace(/[^A-Za-z0-9]+/g, "-").toLowerCase();

export class Workspace {
  /** Where a generated file comes from. @type {Map<string, { file: string, line: number, head: number }>} */
  #sources = new Map();
  /** What follows the packages in a manifest that uses the profiles of the repository. */
  #profiles;

  /** @param {string} root @param {string} target Cargo's target folder. */
  constructor(root, target) {
    this.root = root;
    this.target = target;
    this.folder = join(target, "docs-snippets");
    const manifest = readFileSync(join(root, "Cargo.toml"), "utf8");
    this.#profiles = manifest.slice(manifest.indexOf("\n[profile.dev"));
    /** @type {{ slug: string, hasEvents: boolean, programs: number[] }[]} */
    this.pages = [];
  }

  /** Writes a file, unless it has this text: its time decides whether cargo compiles it again. */
  #write(path, text, source) {
    const full = join(this.folder, path);
    mkdirSync(dirname(full), { recursive: true });
    if (!existsSync(full) || readFileSync(full, "utf8") !== text) writeFileSync(full, text);
    if (source) this.#sources.set(path, source);
  }

  /**
   * Adds a page.
   *
   * @param {string} file
   * @param {import("./plan.mjs").Plan[]} plans
   * @param {string | undefined} eventsFolder A folder with event files of the page.
   * @param {string} port The port of the page's server, which its programs have instead of 1337.
   */
  add(file, plans, eventsFolder, port) {
    const slug = slugOf(file);
    const of = (kind) => plans.filter((plan) => plan.kind === kind);
    const events = of("event");
    const page = { slug, hasEvents: events.length > 0 || eventsFolder !== undefined, programs: [], hasRust: false };
    if (page.hasEvents) {
      this.#removeStale(`${slug}/events/src`, events.map(({ path }) => `${slug}/events/${path}`), eventsFolder);
      if (eventsFolder) cpSync(join(this.root, eventsFolder), join(this.folder, slug, "events/src"), { recursive: true });
      for (const { path, code, line } of events) {
        this.#write(`${slug}/events/${path}`, code, { file, line, head: 0 });
      }
      this.#write(`${slug}/events/src/lib.rs`, "aaw_event::events!();\n");
      this.#write(`${slug}/events/build.rs`, "fn main() {\n    aaw_event_build::events();\n}\n");
      this.#write(`${slug}/events/Cargo.toml`, this.eventsManifest(`${slug}-events`));
    }
    const [programs, fragments] = [of("program"), of("fragment")];
    if (programs.length + fragments.length > 0) {
      page.hasRust = true;
      let modules = "";
      for (const { line, code, directive } of fragments) {
        const head = `${FRAGMENT_HEAD}${FRAGMENT_SIGNATURES[directive]}\n`;
        const source = { file, line, head: head.split("\n").length - 1 };
        this.#write(`${slug}/programs/src/line_${line}.rs`, `${head}${code}Ok(())\n}\n`, source);
        modules += `mod line_${line};\n`;
      }
      this.#write(`${slug}/programs/src/lib.rs`, `#![allow(dead_code)]\n${modules}`);
      let bins = "";
      for (const { line, code } of programs) {
        const text = code.replaceAll("1337", port);
        this.#write(`${slug}/programs/src/bin/line_${line}.rs`, text, { file, line, head: 0 });
        bins += `[[bin]]\nname = "${slug}-line-${line}"\npath = "src/bin/line_${line}.rs"\ntest = false\n`;
      }
      const opentelemetry = programs.some(({ directive }) => directive === "program opentelemetry");
      this.#write(`${slug}/programs/Cargo.toml`, this.#programsManifest(slug, page.hasEvents, bins, plans, opentelemetry));
    }
    this.pages.push(page);
  }

  /** Removes the event files that the page does not have any more. */
  #removeStale(folder, current, eventsFolder) {
    const full = join(this.folder, folder);
    if (eventsFolder) return rmSync(full, { recursive: true, force: true });
    if (!existsSync(full)) return;
    for (const name of readdirSync(full, { recursive: true })) {
      const path = `${folder}/${name}`;
      if (path.endsWith(".rs") && !path.endsWith("/lib.rs") && !current.includes(path)) rmSync(join(this.folder, path));
    }
  }

  eventsManifest(name, standalone = false) {
    const dependencies = `aaw-event = { path = "${this.root}/aaw-event" }\n`;
    const buildDependencies = `aaw-event-build = { path = "${this.root}/aaw-event/build" }\n`;
    const head = `[package]
name = "${name}"
version = "0.1.0"
edition = "2024"

[lib]
crate-type = ["cdylib", "rlib"]
doctest = false
`;
    if (standalone) {
      return `${head}\n${sharedDependencies(this.root, { dependencies, buildDependencies })}\n[workspace]\n${this.#profiles}`;
    }
    return `${head}
[dependencies]
${dependencies}futures-util = "0.3"
serde = { version = "1", features = ["derive"] }
serde_json = "1"
tokio = { version = "1", features = ["full"] }
tracing = "0.1"

[build-dependencies]
${buildDependencies}`;
  }

  #programsManifest(slug, hasEvents, bins, plans, opentelemetry) {
    // The dependencies that the page prints for its OpenTelemetry program, which are compiled for that page alone.
    const printed = plans.find(({ language, directive }) => language === "toml" && directive === "opentelemetry");
    const extra = opentelemetry ? printed.code.replace("[dependencies]\n", "").replace(/^tracing-subscriber.*\n/m, "") : "";
    return `[package]
name = "${slug}-programs"
version = "0.1.0"
edition = "2024"
autobins = false

[lib]
test = false
doctest = false

${bins}
[dependencies]
aaw-server = { path = "${this.root}/aaw-server", default-features = false, features = ["auth-sqlite", "http", "modules", "tls"] }
aaw-client = { path = "${this.root}/aaw-client" }
aaw-event = { path = "${this.root}/aaw-event" }
${hasEvents ? `my-events = { package = "${slug}-events", path = "../events" }` : ""}
axum = { version = "0.8", default-features = false, features = ["http1", "tokio"] }
futures-util = "0.3"
serde = { version = "1", features = ["derive"] }
serde_json = "1"
tokio = { version = "1", features = ["full"] }
tracing = "0.1"
tracing-subscriber = { version = "0.3", features = ["env-filter"] }
${extra}`;
  }

  /** Compiles everything, and runs the unit tests of the events. Throws what is wrong, with the lines of the pages. */
  build() {
    const members = this.pages.flatMap(({ slug, hasEvents, hasRust }) => [
      ...(hasEvents ? [`"${slug}/events"`] : []),
      ...(hasRust ? [`"${slug}/programs"`] : []),
    ]);
    if (members.length === 0) return;
    const shared = "shared-dependencies";
    const manifest = `[package]\nname = "${shared}"\nversion = "0.0.0"\nedition = "2024"\n`;
    this.#write(`${shared}/Cargo.toml`, `${manifest}\n[lib]\ntest = false\n\n${sharedDependencies(this.root)}`);
    this.#write(`${shared}/src/lib.rs`, "");
    const all = [`"${shared}"`, ...members].join(", ");
    this.#write("Cargo.toml", `[workspace]\nresolver = "3"\nmembers = [${all}]\n${this.#profiles}`);
    cpSync(join(this.root, "Cargo.lock"), join(this.folder, "Cargo.lock"));
    this.#cargo(["build", "--workspace", "--message-format=json-render-diagnostics"]);
    this.#cargo(["test", "--workspace", "--lib", "--quiet", "--no-fail-fast", "--message-format=json-render-diagnostics"]);
  }

  #cargo(args) {
    const { status, stdout, stderr, error } = spawnSync("cargo", args, {
      cwd: this.folder,
      env: { ...process.env, CARGO_TARGET_DIR: this.target, CARGO_TERM_COLOR: "never" },
      encoding: "utf8",
      maxBuffer: 1 << 28,
    });
    if (error) throw error;
    if (status !== 0) throw new Error(this.#located(`${stderr}\n${stdout.replace(/^\{.*\n?/gm, "")}`));
  }

  /** Replaces the positions in generated files by those in the pages. */
  #located(text) {
    return text.replace(/([\w/.-]+\.rs):(\d+)(:\d+)?/g, (found, path, line) => {
      for (const [generated, source] of this.#sources) {
        if (path.endsWith(generated)) {
          return `${source.file}:${source.line + Number(line) - source.head}`;
        }
      }
      return found;
    });
  }

  /** The compiled library of the events of a page. */
  library(slug) {
    const name = `lib${slug.replaceAll("-", "_")}_events`;
    return join(this.target, "debug", `${name}.${process.platform === "darwin" ? "dylib" : "so"}`);
  }

  /** The compiled program of a snippet. */
  program(slug, line) {
    return join(this.target, "debug", `${slug}-line-${line}`);
  }
}
