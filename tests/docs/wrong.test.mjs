// What is wrong in a page is reported with its line.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { anchors } from "./links.mjs";
import { readPage } from "./markdown.mjs";
import { expectedOfScript, matches, splitShell } from "./output.mjs";
import { plan } from "./plan.mjs";

const plans = (t, text) => {
  const folder = mkdtempSync(join(tmpdir(), "page-"));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "page.md"), text);
  return readPage(folder, "page.md").snippets.map(plan);
};

for (const [name, text, expected] of [
  ["a fence without a language", "# A\n\n```\nx\n```\n", /^page\.md:3: the fence has no language$/],
  ["a fence that is not closed", "```sh\nx\n", /^page\.md:1: the fence is not closed$/],
  ["an unknown language", "\n```cobol\nx\n```\n", /^page\.md:2: unknown language cobol; expected one of rust, /],
  ["a misspelt directive", "<!-- snippet: sh exit -->\n```sh\nx\n```\n", /^page\.md:2: unknown directive "sh exit" for sh; /],
  ["a directive without a fence", "<!-- snippet: sh server -->\n\n```sh\nx\n```\n", /^page\.md:1: the directive is not followed/],
  ["a command that is not run", "<!-- snippet: sh example -->\n```sh\nrm x\n```\n", /^page\.md:2: command 1 is not run .*: rm x$/],
]) {
  test(`${name} is an error with its line`, (t) => {
    assert.throws(() => plans(t, text), (error) => expected.test(error.message) || assert.fail(error.message));
  });
}

test("the first line of Rust code tells an event from a program and a fragment", (t) => {
  const rust = (code) => `\`\`\`rust\n${code}\n\`\`\`\n`;
  const kinds = plans(t, rust("// src/a/b.rs — the event") + rust("// events/src/c.rs") + rust("fn main() {}") + rust("call();"));
  assert.deepEqual(kinds.map(({ kind, path }) => [kind, path]), [
    ["event", "src/a/b.rs"],
    ["event", "src/c.rs"],
    ["program", undefined],
    ["fragment", undefined],
  ]);
});

test("comments after a command are its output", () => {
  assert.deepEqual(splitShell("a\n# 1\n# 2\nb  # why\n"), [
    { commands: "a\n", expected: ["1", "2"] },
    { commands: "b  # why\n", expected: undefined },
  ]);
  assert.deepEqual(expectedOfScript("f(); // no\nconsole.log(1);\n// 1\n// 2\ng();\n// no\n"), ["1", "2"]);
});

test("an ellipsis matches a part of a line, or lines", () => {
  assert.ok(matches(["a…c", "d"], "abc\nd\n"));
  assert.ok(matches(["…", "d"], "a\nb\nd"));
  assert.ok(matches(["a.b"], "a.b\n"));
  assert.ok(!matches(["a.b"], "axb\n"));
  assert.ok(!matches(["a"], "a\nb\n"));
  assert.ok(!matches(["a", "b"], "a\n"));
});

test("anchors are those of a code host", () => {
  assert.deepEqual([...anchors("# A `b` c?\n## A b c\n```sh\n# no\n```\n")], ["a-b-c", "a-b-c-1"]);
});
