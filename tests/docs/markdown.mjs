// Finds the fenced blocks of a Markdown page.

import { readFileSync } from "node:fs";

/**
 * A fenced block.
 *
 * @typedef {object} Snippet
 * @property {string} file The page, relative to the repository.
 * @property {number} line The line of the fence, counted from 1. The code begins one line below.
 * @property {string} language
 * @property {string} directive The text of `<!-- snippet: … -->` on the line before the fence; empty without one.
 * @property {string} code Ends with a line break.
 */

/** An error of a page, at a line of it. */
export class PageError extends Error {
  /** @param {string} file @param {number} line @param {string} text */
  constructor(file, line, text) {
    super(`${file}:${line}: ${text}`);
    this.name = "PageError";
  }
}

/**
 * Reads the blocks of a page. Each needs a language; an indented block is one of a list, and its indentation is removed.
 *
 * @param {string} root The folder of the repository.
 * @param {string} file
 * @returns {{ snippets: Snippet[], events: string | undefined }} `events`: the folder with the events of the page, from
 *   `<!-- snippets: events FOLDER -->`.
 */
export const readPage = (root, file) => {
  const lines = readFileSync(`${root}/${file}`, "utf8").split("\n");
  const snippets = [];
  let events;
  for (let at = 0; at < lines.length; at++) {
    events = /^<!-- snippets: events (\S+) -->$/.exec(lines[at])?.[1] ?? events;
    const directive = /^\s*<!-- snippet: (.*?) -->$/.exec(lines[at]);
    if (directive && !lines[at + 1]?.trimStart().startsWith("```")) {
      throw new PageError(file, at + 1, "the directive is not followed by a fence");
    }
    if (/^\s*~~~/.test(lines[at])) throw new PageError(file, at + 1, "a fence of ~~~; expected ```");
    const fence = /^(\s*)```(.*)$/.exec(lines[at]);
    if (!fence) continue;
    const [, indent, language] = fence;
    if (!language) throw new PageError(file, at + 1, "the fence has no language");
    const end = lines.findIndex((line, index) => index > at && line === `${indent}\`\`\``);
    if (end < 0) throw new PageError(file, at + 1, "the fence is not closed");
    const code = lines.slice(at + 1, end).map((line) => line.slice(line.startsWith(indent) ? indent.length : 0));
    const before = /^\s*<!-- snippet: (.*?) -->$/.exec(lines[at - 1] ?? "")?.[1] ?? "";
    snippets.push({ file, line: at + 1, language, directive: before, code: `${code.join("\n")}\n` });
    at = end;
  }
  return { snippets, events };
};
