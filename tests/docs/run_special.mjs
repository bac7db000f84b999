// Runs the snippets that need another program or other files: Chromium, systemd, the configuration of proxies.

import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { launch, open, TIMEOUT } from "../browser/chromium.mjs";

const fail = (plan, text) => {
  throw new Error(`${plan.file}:${plan.line}: ${text}`);
};

/**
 * Serves a block as a page of its own and opens it. It fails on an uncaught error and an error in the console. With the
 * directive `title=TEXT` it waits until the page has this title.
 */
export const chromium = async (plan, code, { server, t }) => {
  const name = `line_${plan.line}.html`;
  const isComplete = /<!doctype|<html/i.test(code);
  const head = '<!doctype html>\n<meta charset="utf-8">\n<link rel="icon" href="data:,">\n';
  writeFileSync(join(server.files, name), isComplete ? code : head + code);
  const browser = await launch();
  t.after(() => browser.close());
  const page = await open(t, browser, "about:blank");
  const errors = [];
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(`${error}`));
  await page.goto(`http://localhost:${server.port}/${name}`, { waitUntil: "networkidle" });
  const title = /^title=(.+)$/.exec(plan.directive)?.[1];
  if (title) {
    const shown = page.waitForFunction((title) => document.title === title, title, { timeout: TIMEOUT });
    await shown.catch(async () => fail(plan, `the title is "${await page.title()}", expected "${title}"; ${errors.join("; ")}`));
  }
  if (errors.length > 0) fail(plan, `the page logs errors: ${errors.join("; ")}`);
};

/** The configuration of a proxy is a file of tests/proxies, whose tests start the proxy with it. */
export const proxyFile = (plan, { root }) => {
  const folder = join(root, "tests/proxies");
  const names = readdirSync(folder).filter((name) => (plan.kind === "nginx" ? /^nginx.*\.conf$/ : /^Caddyfile/).test(name));
  if (!names.some((name) => readFileSync(join(folder, name), "utf8") === plan.code)) {
    fail(plan, `expected the contents of one of these files of tests/proxies: ${names.join(", ")}`);
  }
};

/** Checks a systemd unit: by systemd where it is installed, and that each line is a section or a setting. */
export const unitFile = async (plan, { work }) => {
  for (const [index, line] of plan.code.split("\n").entries()) {
    if (!/^(|[#;].*|\[[A-Za-z]+\]|[A-Za-z]+=.*)$/.test(line)) fail(plan, `line ${index + 1} is no setting: ${line}`);
  }
  const [, type = "service"] = /^# \S+\.(service|socket)$/m.exec(plan.code) ?? [];
  const file = join(work, `snippet.${type}`);
  // A socket needs its service.
  if (type === "socket") writeFileSync(join(work, "snippet.service"), "[Service]\nExecStart=/bin/true\n");
  // systemd checks that the program exists.
  writeFileSync(file, plan.code.replace(/^ExecStart=\S+/m, "ExecStart=/bin/true"));
  const { error, status, stderr } = spawnSync("systemd-analyze", ["verify", file], { encoding: "utf8" });
  if (!error && status !== 0) fail(plan, `systemd reports ${stderr}`);
};
