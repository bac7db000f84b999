import aaw from "/aaw.js";

/** Results on the page; older ones are removed. */
const MAX_RESULTS = 20;

const byId = (id) => document.getElementById(id);
const element = (name, textContent, className = "") =>
  Object.assign(document.createElement(name), { textContent, className });
const ws = aaw();

// Handles the server's call: the promise resolves with the answer. The signal is aborted when the server no longer
// waits for it.
ws.handle("confirm", ({ question }, { signal }) => {
  return new Promise((resolve) => {
    const card = element("div", "", "card");
    const buttons = element("div", "", "row");
    const end = () => card.remove();
    for (const [text, answer, className] of [
      ["Yes", true, "main"],
      ["No", false, ""],
    ]) {
      const button = element("button", text, className);
      button.addEventListener("click", () => {
        end();
        resolve(answer);
      });
      buttons.append(button);
    }
    card.append(element("p", question), buttons);
    byId("questions").append(card);
    signal.addEventListener("abort", end);
  });
});

// The server pushes the result to all pages.
ws.on("counted", ({ question, yes, no, silent }) => {
  const item = document.createElement("li");
  const bar = element("div", "", "bar");
  for (const [className, count] of [
    ["yes", yes],
    ["no", no],
    ["silent", silent],
  ]) {
    const part = element("span", "", className);
    part.style.flexGrow = count;
    bar.append(part);
  }
  const numbers = `${yes} yes, ${no} no${silent ? `, ${silent} did not answer` : ""}`;
  item.append(element("p", question), bar, element("span", numbers, "numbers quiet"));
  byId("counts").prepend(item);
  byId("counts").children[MAX_RESULTS]?.remove();
});

/** Cancels the question of this page. */
let withdraw;
byId("withdraw").addEventListener("click", () => withdraw.abort());

byId("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  withdraw = new AbortController();
  byId("error").textContent = "";
  byId("ask").disabled = true;
  byId("withdraw").disabled = false;
  try {
    // The server limits the time to answer.
    const options = { timeout: Infinity, signal: withdraw.signal };
    await ws.sendAsync("ask", { question: byId("question").value }, options);
    byId("question").value = "";
  } catch ({ error, code }) {
    if (code !== "cancelled") byId("error").textContent = error;
  }
  byId("ask").disabled = false;
  byId("withdraw").disabled = true;
});

/** The labels of the connection's states. */
const STATES = { open: "connected", waiting: "connection lost", connecting: "connecting", closed: "closed" };

const showState = () => {
  byId("state").dataset.state = ws.state;
  byId("state").textContent = STATES[ws.state];
};
ws.on("aaw/state", showState);
showState();
