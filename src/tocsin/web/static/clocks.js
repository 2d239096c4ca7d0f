// Times and running clocks: one timer for the page, text changes only.
const two = (n) => String(n).padStart(2, "0");
export const running = (s) => (s >= 3600 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}` : `${Math.floor(s / 60)}`) + `:${two(s % 60)}`;
export const span = (s) => s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min` : s < 86400 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const shapes = {
  time: new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }),
  second: new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }),
  day,
  slot: new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" }),
  own: new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short" }),
  full: new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }),
};

export function localise(root = document) {
  const today = new Date().toDateString();
  beside(root);
  for (const e of root.querySelectorAll("time[data-t]:not([data-done])")) {
    const at = new Date(e.dateTime), shape = e.dataset.t;
    e.dataset.done = "";
    if (shape === "ago") continue;
    const text = shapes[shape].format(at);
    e.textContent = (shape === "time" || shape === "second") && at.toDateString() !== today ? `${day.format(at)}, ${text}` : text;
  }
}

// Beside a time in a zone of its own: the same on the reader's clock, where that says something else.
function beside(root) {
  for (const e of root.querySelectorAll("small.own:not([data-done])")) {
    const here = (t) => { const at = new Date(t.dateTime); return new Date(at - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16); };
    e.hidden = [...e.querySelectorAll("time")].every((t) => here(t) === t.dataset.wall);
    e.dataset.done = "";
  }
}

const set = (e, text) => { if (e.textContent !== text) e.textContent = text; };
export function tick(root = document) {
  const now = Date.now();
  for (const e of root.querySelectorAll("[data-clock]")) set(e, running(Math.max(0, Math.floor((now - e.dataset.clock) / 1000))));
  for (const e of root.querySelectorAll("[data-until]")) set(e, span(Math.max(0, Math.ceil((e.dataset.until - now) / 1000))));
  for (const e of root.querySelectorAll("time[data-t=ago]")) set(e, `${span(Math.max(0, Math.floor((now - Date.parse(e.dateTime)) / 1000)))} ago`);
  for (const e of root.querySelectorAll("[data-ago]")) {
    if (root === document && e.closest(".r")?.inSight === false) continue; // the ledger says what is in sight
    set(e, span(Math.max(0, Math.floor((now - e.dataset.ago) / 1000))));
  }
}

export function clocks() {
  localise();
  tick();
  setInterval(() => { if (!document.hidden) tick(); }, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) tick(); });
  document.addEventListener("htmx:after:swap", () => { localise(); tick(); });
}
