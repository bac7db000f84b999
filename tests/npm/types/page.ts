// Uses that only a page has.

import aaw from "aaw-js";

const ws = aaw();
aaw("/", { storage: localStorage, storageKey: "mine" });
aaw("/", { storage: sessionStorage, WebSocket });
ws.addEventListener("message", (event) => event.isTrusted);
ws.onclose = (event) => event.timeStamp;
