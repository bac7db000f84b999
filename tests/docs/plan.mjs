// Decides what is done with each snippet of a page.

import { PageError } from "./markdown.mjs";

/** The directives of each language. */
const DIRECTIVES = {
  rust: /^(|program|program run|program opentelemetry|fragment server|fragment handler)$/,
  sh: /^(|repository|server|example|exit=\d+)$/,
  js: /^(|page|commonjs)$/,
  html: /^(|title=.+)$/,
  toml: /^(|opentelemetry|settings)$/,
  ts: /^$/,
  json: /^$/,
  text: /^$/,
  nginx: /^$/,
  caddyfile: /^$/,
  ini: /^$/,
};

/** The commands that are printed but not run here, and the reason. */
const EXAMPLES = [
  [/^cargo run --release -p aaw-server$/, "the first command: measured by hand, and too long for each change"],
  [/^tests\/run( \S+)*( +#.*)?$/, "runs this test"],
  [/^\.ci\/run( \S+)*( +#.*)?$/, "runs this test"],
  [/^cargo (build|install|test|run|bench|fuzz|doc|fmt|clippy|hack|deny|package|publish)\b/, "too long, or changes the user's system"],
  [/^npm (install|ci|run|test|pack|publish)\b/, "needs the registry; tests/npm installs and packs the package"],
  [/^(node|cd|export)\b/, "a test of this project"],
  [/^(ssh|scp|systemctl|journalctl|certbot|useradd|runuser|apt-get|install|nginx)\b/, "needs another machine, or systemd"],
  [/^(aaw-server user add .* --auth users\.sqlite|sqlite3 users\.sqlite "ATTACH .*)$/, "needs a file of the original"],
  [/^aaw-server \/opt\/aaw\/events --host :: --port 443 /, "needs port 443, and a certificate of a public name"],
  [/^curl https:\/\/api\.example\.org\//, "needs a public name"],
  [/^ +/, "goes on with the command before"],
];

/**
 * What to do with a snippet.
 *
 * @typedef {import("./markdown.mjs").Snippet & { kind: string, path?: string }} Plan
 * @param {import("./markdown.mjs").Snippet} snippet
 * @returns {Plan}
 */
export const plan = (snippet) => {
  const { file, line, language, directive, code } = snippet;
  const allowed = DIRECTIVES[language];
  if (!allowed) {
    throw new PageError(file, line, `unknown language ${language}; expected one of ${Object.keys(DIRECTIVES).join(", ")}`);
  }
  const word = directive.replace(new RegExp(`^${language}( |$)`), "");
  if (!allowed.test(word)) {
    throw new PageError(file, line, `unknown directive "${directive}" for ${language}; expected ${allowed.source}`);
  }
  if (language === "rust") {
    const path = /^\/\/ (?:events\/)?(src\/\S+\.rs)\b/.exec(code)?.[1];
    if (path) return { ...snippet, kind: "event", path };
    if (word.startsWith("program") || /\bfn main\b/.test(code)) return { ...snippet, kind: "program", directive: word };
    return { ...snippet, kind: "fragment", directive: word };
  }
  if (language === "sh" && word === "example") {
    const commands = code.split("\n").filter((command) => command.trim() && !command.startsWith("#"));
    for (const [index, command] of commands.entries()) {
      if (!EXAMPLES.some(([pattern]) => pattern.test(command))) {
        throw new PageError(file, line, `command ${index + 1} is not run and not on the list in plan.mjs: ${command}`);
      }
    }
    return { ...snippet, kind: "printed", directive: word };
  }
  if (language === "text") return { ...snippet, kind: "printed", directive: word };
  return { ...snippet, kind: language, directive: word };
};
