// Runs the snippets that need another program: Chromium, nginx, Caddy.

import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { launch, open, TIMEOUT } from "../browser/chromium.mjs";
import { freePort, program, serve, started, stop } from "./page_server.mjs";

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

/** Calls an event and reads a stream of the stock events through a proxy. */
const callThrough = async (plan, work, root, url) => {
  const file = join(work, `through_${plan.kind}.mjs`);
  writeFileSync(
    file,
    `import aaw from "${root}/aaw-js/aaw.js";
const ws = aaw("ws://${url}");
if (!(await ws.sendAsync("ping", null, 10000)).pong) throw new Error("ping");
const numbers = [];
for await (const number of ws.stream("count", { to: 100 })) numbers.push(number);
if (numbers.length !== 100) throw new Error(\`\${numbers.length} items\`);
await ws.close();
const response = await fetch("http://${url}/events/count", {
  method: "POST", body: '{"to":2,"every_ms":10}', headers: { accept: "text/event-stream" },
});
if (!(await response.text()).includes("event: end")) throw new Error("server-sent events");
`,
  );
  const { status, stderr } = spawnSync("node", ["--experimental-websocket", "--no-warnings", file], { encoding: "utf8", timeout: 60_000 });
  if (status !== 0) fail(plan, `a call through ${plan.kind} fails: ${stderr}`);
};

/** The server with the stock events, which is behind the proxies. */
const stock = async (work) => {
  const library = join(program("AAW_EXAMPLES_BIN_DIR"), `libaaw_events.${process.platform === "darwin" ? "dylib" : "so"}`);
  return serve(join(work, "behind-proxy"), library, await freePort());
};

const withProxy = async (plan, { root, work }, start) => {
  const server = await stock(work);
  const port = await freePort();
  try {
    const { child } = await start(port, server.port);
    try {
      await callThrough(plan, work, root, `127.0.0.1:${port}`);
    } finally {
      await stop(child);
    }
  } finally {
    await server.stop();
  }
};

/** Waits until something listens on the port. */
const WAIT = (port) => `until (exec 3<>/dev/tcp/127.0.0.1/${port}) 2>/dev/null; do read -rt 0.1 <> <(:) || :; done; echo up`;

const startProxy = (command, port, options) =>
  started("bash", ["-c", `${command} & proxy=$!; trap 'kill $proxy; wait $proxy' TERM; ${WAIT(port)}; wait $proxy`], options, /^up$/m);

/** Only the ports, the name of the host and the temporary folders are replaced. */
export const proxies = {
  nginx: (plan, context) =>
    withProxy(plan, context, (port, upstream) => {
      const folder = join(context.work, "nginx");
      mkdirSync(folder, { recursive: true });
      const block = plan.code.replace("listen 80;", `listen 127.0.0.1:${port};`).replaceAll("1337", upstream);
      const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder};`);
      writeFileSync(
        join(folder, "nginx.conf"),
        `daemon off;\nmaster_process off;\npid ${folder}/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n${temporary.join("\n")}\n${block}}\n`,
      );
      const path = `${process.env.PATH}:/usr/sbin`;
      return startProxy(`nginx -e stderr -p ${folder} -c ${folder}/nginx.conf`, port, { env: { ...process.env, PATH: path } });
    }),
  caddyfile: (plan, context) =>
    withProxy(plan, context, (port, upstream) => {
      const folder = join(context.work, "caddy");
      mkdirSync(folder, { recursive: true });
      const block = plan.code.replace(/^\S+ \{/, `http://127.0.0.1:${port} {`).replaceAll("1337", upstream);
      writeFileSync(join(folder, "Caddyfile"), `{\n\tadmin off\n}\n${block}`);
      const env = { ...process.env, HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder };
      return startProxy(`caddy run --adapter caddyfile --config ${folder}/Caddyfile`, port, { env });
    }),
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
