import aaw from "/aaw.js";

/** Counts that are shown; older ones go. */
const MOST = 20;

const byId = (id) => document.getElementById(id);
const element = (name, textContent, className = "") =>
  Object.assign(document.createElement(name), { textContent, className });
const ws = aaw();

// The server asks. What this resolves with is the answer; the signal says that nobody waits for it any more.
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
    byId("asked").append(card);
    signal.addEventListener("abort", end);
  });
});

// How it went is told to everybody.
ws.on("counted", ({ question, yes, no, silent }) => {
  const item = document.createElement("li");
  const bar = element("div", "", "bar");
  for (const [className, many] of [
    ["yes", yes],
    ["no", no],
    ["silent", silent],
  ]) {
    const part = element("span", "", className);
    part.style.flexGrow = many;
    bar.append(part);
  }
  const numbers = `${yes} yes, ${no} no${silent ? `, ${silent} did not answer` : ""}`;
  item.append(element("p", question), bar, element("span", numbers, "numbers quiet"));
  byId("counts").prepend(item);
  byId("counts").children[MOST]?.remove();
});

/** Gives the question up that this page has asked. */
let withdraw;
byId("withdraw").addEventListener("click", () => withdraw.abort());

byId("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  withdraw = new AbortController();
  byId("wrong").textContent = "";
  byId("ask").disabled = true;
  byId("withdraw").disabled = false;
  try {
    // People take their time; the server knows how much they have.
    const call = { timeout: Infinity, signal: withdraw.signal };
    await ws.sendAsync("ask", { question: byId("question").value }, call);
    byId("question").value = "";
  } catch ({ error, code }) {
    if (code !== "cancelled") byId("wrong").textContent = error;
  }
  byId("ask").disabled = false;
  byId("withdraw").disabled = true;
});

/** What the states of the connection are called. */
const STATES = { open: "connected", waiting: "connection lost", connecting: "connecting", closed: "closed" };

const tell = () => {
  byId("state").dataset.state = ws.state;
  byId("state").textContent = STATES[ws.state];
};
ws.on("aaw/state", tell);
tell();
