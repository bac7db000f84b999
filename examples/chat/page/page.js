import aaw from "/aaw.js";

/** Lines that are shown; older ones go. */
const MOST = 200;

/** How often the others are told that somebody is typing, and how long they show it, in ms. */
const TELL = 2000;
const SHOW = 3000;

const byId = (id) => document.getElementById(id);

// Which rooms there are is asked over HTTP: there is no connection yet.
const rooms = await aaw.http().sendAsync("rooms");

// The session outlives a reload of the page, and ends with the window. The client resumes it by itself.
const ws = aaw(undefined, { storage: sessionStorage });

/** The room that is shown. */
let [room] = rooms;

/** Who is in it: an address for each connection; and who has left it since it was entered. */
let here = { emails: new Map(), left: new Set() };

/** Who is typing, until when. */
const typing = new Map();

// --- Who I am --------------------------------------------------------------------------------------------------------

/** Shows what belongs to whoever is logged in, or the log-in. */
const show = () => {
  const isIn = ws.identity !== null;
  byId("login").hidden = isIn;
  byId("chat").hidden = !isIn;
  byId("me").textContent = isIn ? ws.identity.email : "";
  if (!isIn) byId("lines").replaceChildren();
};

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const how = event.submitter?.value ?? "login";
  byId("refused").textContent = "";
  try {
    // `ws.login` or `ws.register`. Checking a password takes a while, on purpose.
    await ws[how](byId("email").value, byId("password").value, 10_000);
    byId("password").value = "";
    show();
    await enter(room);
  } catch ({ error }) {
    byId("refused").textContent = error;
  }
});

byId("logout").addEventListener("click", async () => {
  ws.sendSync("leave", { room });
  try {
    await ws.logout();
  } catch ({ error }) {
    byId("wrong").textContent = error;
  }
  show();
});

// The session is over: logged out elsewhere, or expired.
ws.on("unauthorized", ({ error }) => {
  if (ws.state === "open") ws.sendSync("leave", { room });
  byId("refused").textContent = error;
  show();
});

// Also after a reconnect: the session is resumed by then, but rooms belong to the connection that is gone.
ws.on("open", () => {
  show();
  if (ws.identity) enter(room).catch(({ error }) => (byId("wrong").textContent = error));
});

// --- Rooms -----------------------------------------------------------------------------------------------------------

async function enter(name) {
  if (room !== name) ws.sendSync("leave", { room });
  room = name;
  const entered = (here = { emails: new Map(), left: new Set() });
  byId("lines").replaceChildren();
  typing.clear();
  showTyping();
  const { lines, members } = await ws.sendAsync("auth/enter", { room });
  // Another room was chosen meanwhile.
  if (entered !== here) return;
  for (const line of lines) add(line);
  // Who has left since is not here any more, whatever the answer says.
  for (const { id, email } of members) if (!here.left.has(id)) here.emails.set(id, email);
  showMembers();
}

ws.on("aaw/joined", ({ room: where, member }) => {
  if (where !== room || !member.identity) return;
  here.left.delete(member.id);
  here.emails.set(member.id, member.identity.email);
  showMembers();
});

ws.on("aaw/left", ({ room: where, member }) => {
  if (where !== room) return;
  here.left.add(member.id);
  here.emails.delete(member.id);
  showMembers();
});

function showMembers() {
  // Somebody with two windows is one.
  byId("members").textContent = `Here: ${[...new Set(here.emails.values())].sort().join(", ")}`;
}

for (const name of rooms) {
  const label = document.createElement("label");
  const radio = Object.assign(document.createElement("input"), { type: "radio", name: "room", className: "unseen" });
  radio.checked = name === room;
  radio.addEventListener("change", () => {
    byId("wrong").textContent = "";
    enter(name).catch(({ error }) => (byId("wrong").textContent = error));
  });
  label.append(radio, name);
  byId("rooms").append(label);
}

// --- What is said ----------------------------------------------------------------------------------------------------

ws.on("said", ({ room: where, line }) => {
  if (where !== room) return;
  add(line);
  typing.delete(line.by);
  showTyping();
});

/** Shows a line, once, where it belongs: it may be both among the last ones and just said. */
function add({ id, by, text, at }) {
  const list = byId("lines");
  if (list.querySelector(`[data-id="${id}"]`)) return;
  const item = document.createElement("li");
  item.dataset.id = id;
  item.classList.toggle("mine", by === ws.identity?.email);
  const head = document.createElement("small");
  head.textContent = `${by}, ${new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}`;
  item.append(head, text);
  const isAtEnd = list.scrollTop + list.clientHeight > list.scrollHeight - 40;
  list.insertBefore(item, [...list.children].find((other) => Number(other.dataset.id) > id) ?? null);
  if (list.children.length > MOST) list.firstElementChild.remove();
  // Who reads what was said earlier is left to it.
  if (isAtEnd) list.scrollTop = list.scrollHeight;
}

byId("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  byId("wrong").textContent = "";
  toldAt = -Infinity;
  try {
    // It comes back as `said`, as to everybody.
    await ws.sendAsync("auth/say", { room, text: byId("text").value });
    byId("text").value = "";
  } catch ({ error }) {
    byId("wrong").textContent = error;
  }
});

// --- Who is typing ---------------------------------------------------------------------------------------------------

let toldAt = -Infinity;
byId("text").addEventListener("input", () => {
  if (ws.state !== "open" || performance.now() - toldAt < TELL) return;
  toldAt = performance.now();
  ws.sendSync("auth/typing", { room });
});

ws.on("typing", ({ room: where, by }) => {
  if (where !== room) return;
  typing.set(by, performance.now() + SHOW);
  setTimeout(showTyping, SHOW + 10);
  showTyping();
});

function showTyping() {
  for (const [by, until] of typing) if (until <= performance.now()) typing.delete(by);
  const all = [...typing.keys()].sort();
  byId("typing").textContent = all.length ? `${all.join(", ")} ${all.length > 1 ? "are" : "is"} typing …` : "";
}

// --- The connection --------------------------------------------------------------------------------------------------

/** What the states of the connection are called. */
const STATES = { open: "connected", waiting: "connection lost", connecting: "connecting", closed: "closed" };

const tell = () => {
  byId("state").dataset.state = ws.state;
  byId("state").textContent = STATES[ws.state];
};
ws.on("aaw/state", tell);
tell();
