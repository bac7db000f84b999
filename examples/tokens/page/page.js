import aaw from "/aaw.js";

/** What was said of late goes with every question; models forget, and bodies have a bound. */
const REMEMBERED = 20;

const byId = (id) => document.getElementById(id);
const ws = aaw();

/** What was said, as the model is told. */
const messages = [];

/** Ends the answer that is coming. */
let stop = new AbortController();

/** What the states of the connection are called. */
const STATES = { open: "connected", waiting: "connection lost", connecting: "connecting", closed: "closed" };

const tell = () => {
  byId("state").dataset.state = ws.state;
  byId("state").textContent = STATES[ws.state];
};
ws.on("aaw/state", tell);
tell();

ws.sendAsync("model").then(({ name, is_stand_in }) => {
  byId("model").textContent = is_stand_in
    ? "A stand-in answers; OPENAI_BASE_URL in the program's environment names a real model's API."
    : `${name} answers.`;
});

function say(role, content) {
  const item = document.createElement("li");
  item.className = role;
  item.textContent = content;
  byId("said").append(item);
  return item;
}

byId("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const question = { role: "user", content: byId("text").value };
  messages.push(question);
  say(question.role, question.content);
  const item = say("assistant", "");
  item.setAttribute("aria-busy", "true");
  byId("text").value = "";
  byId("wrong").textContent = "";
  byId("send").disabled = true;
  byId("stop").disabled = false;
  stop = new AbortController();
  const answer = { role: "assistant", content: "" };
  try {
    for await (const token of ws.stream("chat", { messages: messages.slice(-REMEMBERED) }, { signal: stop.signal })) {
      answer.content += token;
      item.append(token);
      item.scrollIntoView({ block: "nearest" });
    }
  } catch ({ code, error }) {
    if (code !== "cancelled") byId("wrong").textContent = error;
  }
  if (answer.content) messages.push(answer);
  else item.remove();
  item.removeAttribute("aria-busy");
  byId("send").disabled = false;
  byId("stop").disabled = true;
  byId("text").focus();
});

byId("stop").addEventListener("click", () => stop.abort());
