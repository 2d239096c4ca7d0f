// The live connection: one WebSocket for the page, a ticket for each try, and the truth about how fresh the figures are.
import { span } from "./clocks.js";

const shown = () => document.getElementById("live");
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

export function live() {
  const listeners = new Set();
  let socket = null, wait = 500, last = +(shown()?.dataset.last ?? 0), heard = Date.now(), on = false, ever = false;

  function show() {
    const e = shown();
    if (!e) return;
    const text = e.querySelector("span"), ago = Math.max(0, Date.now() - last) / 1000;
    const state = on ? "on" : !ever && Date.now() - heard < 3000 ? "wait" : "off";
    if (e.dataset.live === state && state !== "on") return;
    if (e.dataset.live !== state) {
      e.dataset.live = state;
      document.querySelectorAll(".vitals").forEach((v) => v.classList.toggle("stale", state === "off"));
    }
    const words = state === "wait" ? "Connecting"
      : state === "off" ? `Reconnecting, figures from ${clock.format(heard)}`
      : last ? `Live · last result ${ago < 10 ? ago.toFixed(1) + " s" : span(Math.round(ago))} ago` : "Live";
    if (text.textContent !== words) text.textContent = words;
  }
  setInterval(show, 500);

  async function connect() {
    try {
      const reply = await fetch("/api/v1/live/ticket", { method: "POST", headers: { accept: "application/json" } });
      if (reply.status === 401) { location.assign(`/login?next=${encodeURIComponent(location.pathname)}`); return; }
      if (!reply.ok) throw new Error(String(reply.status));
      const { ticket } = await reply.json();
      socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/v1/live?ticket=${encodeURIComponent(ticket)}`);
    } catch { again(); return; }
    socket.addEventListener("open", () => {
      const topic = document.body.dataset.topic || "workspace";
      socket.send(JSON.stringify({ subscribe: topic.split(" ") }));
      ever = true;
      on = true; wait = 500; heard = Date.now();
      show();
      // The first time, too: something may have happened since the page was drawn.
      listeners.forEach((l) => l({ type: "reconnected" }));
    });
    socket.addEventListener("message", (m) => {
      heard = Date.now();
      let event;
      try { event = JSON.parse(m.data); } catch { return; }
      if (event.type === "check.completed") last = Date.now();
      for (const l of listeners) l(event);
    });
    socket.addEventListener("close", again);
  }
  function again() {
    on = false;
    socket = null;
    show();
    setTimeout(connect, wait * (0.8 + Math.random() * 0.4));
    wait = Math.min(wait * 2, 15000);
  }
  connect();
  return { listen: (l) => listeners.add(l) };
}
