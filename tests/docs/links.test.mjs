// The relative links of all Markdown files lead to files and headings that exist.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";

import { anchors } from "./links.mjs";
import { ROOT } from "./pages.mjs";

/** Markdown without its code, which can contain what looks like a link. */
const prose = (text) => text.replace(/^\s*```[\s\S]*?^\s*```$/gm, (block) => block.replace(/[^\n]/g, "")).replace(/`[^`\n]*`/g, "``");

/** The wrong links of a file: `line: target`. */
const wrongLinks = (file) => {
  const wrong = [];
  const targets = prose(readFileSync(join(ROOT, file), "utf8")).split("\n");
  for (const [index, line] of targets.entries()) {
    const links = [...line.matchAll(/\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"|^\[[^\]]+\]: (\S+)/g)];
    for (const target of links.map(([, ...groups]) => groups.find(Boolean))) {
      if (/^[a-z]+:/.test(target) || target.startsWith("//")) continue;
      const [path, anchor] = target.split("#");
      const to = path ? normalize(join(dirname(file), path)) : file;
      const full = join(ROOT, to);
      if (!existsSync(full)) wrong.push(`${file}:${index + 1}: ${target} does not exist`);
      else if (anchor && statSync(full).isFile() && to.endsWith(".md") && !anchors(readFileSync(full, "utf8")).has(anchor)) {
        wrong.push(`${file}:${index + 1}: ${to} has no heading #${anchor}`);
      }
    }
  }
  return wrong;
};

test("relative links lead somewhere", () => {
  const listed = execFileSync("git", ["ls-files", "*.md"], { cwd: ROOT, encoding: "utf8" }).split("\n").filter(Boolean);
  const files = listed.filter((file) => existsSync(join(ROOT, file)));
  assert.ok(files.length > 10, "found too few Markdown files");
  assert.deepEqual(files.flatMap(wrongLinks), []);
});
