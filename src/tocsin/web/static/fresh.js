// Pages other than the overview: parts marked data-fresh are asked for anew when something they show has changed,
// at most once a second, and exchanged in place. The page itself is the source, so there is one way to draw it. A page whose
// figures change without an event says how often it is asked for anew (data-every, in seconds).
import { localise, tick } from "./clocks.js";
import { headlines } from "./signs.js";

// Whether somebody has typed or chosen something there that is not sent yet.
const typed = (part) => [...part.querySelectorAll("input:not([type=hidden]), textarea")].some((e) => e.value !== e.defaultValue || e.checked !== e.defaultChecked);

export function fresh(connection) {
  const monitor = document.body.dataset.monitor, url = document.body.dataset.url ?? location.href;
  const here = document.querySelector("[data-fresh]") !== null;
  let timer = 0, busy = false, again = false, stamp = 0;
  connection.listen((event) => {
    if (!event.type) return;
    // What hosts say comes all the time: only their own pages look again for it, the list of all of them now and then.
    if (event.type.startsWith("host.")) {
      const host = document.body.dataset.host;
      if (host !== "*" && host !== event.data?.host_id) return;
      if (!timer) timer = setTimeout(ask, Math.max((host === "*" ? 5000 : 1000) - (Date.now() - stamp), 250));
      return;
    }
    const ours = event.type === "reconnected" || !monitor || event.monitor === monitor;
    const check = event.type === "check.completed";
    if (check && (!ours || !monitor || document.body.dataset.still !== undefined)) return;
    const gap = Date.now() - stamp;
    if (!timer) timer = setTimeout(ask, check ? Math.max(1000 - gap, 250) : gap > 1000 ? 50 : 400);
  });
  const every = +(document.body.dataset.every ?? 0) * 1000;
  if (every) setInterval(() => { if (!document.hidden && !timer && Date.now() - stamp >= every) ask(); }, every);
  async function ask() {
    timer = 0;
    if (busy) { again = true; return; }
    busy = true; stamp = Date.now();
    try {
      const reply = await fetch(here ? url : "/incidents", { headers: { accept: "text/html" } });
      if (!reply.ok) return;
      const page = new DOMParser().parseFromString(await reply.text(), "text/html");
      // Whether this instance leads may have changed: an instance that follows hides the forms that would be refused.
      document.querySelector(".shell")?.toggleAttribute("data-follows", page.querySelector(".shell[data-follows]") !== null);
      for (const part of document.querySelectorAll("[data-fresh]")) {
        const now = page.getElementById(part.id);
        if (!now || part.contains(document.activeElement) && document.activeElement.matches("input, textarea, select") || typed(part)) continue;
        if (part.querySelector("[data-dragging]") || part.dataset.was === now.innerHTML) continue;
        part.dataset.was = now.innerHTML;
        const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
        const state = now.querySelector("[data-say]")?.textContent.trim();
        if (state && state !== part.querySelector("[data-say]")?.textContent.trim()) document.getElementById("said").textContent = state;
        const open = [...part.querySelectorAll("details[id][open]")].map((d) => d.id);
        part.innerHTML = now.innerHTML;
        for (const id of open) document.getElementById(id)?.setAttribute("open", "");
        localise(part); tick(part);
        if (focused) document.getElementById(focused)?.focus();
      }
      headlines(+(page.title.match(/^(\d+) open/)?.[1] ?? 0));
      dispatchEvent(new Event("fresh"));
    } catch {} finally { busy = false; if (again) { again = false; timer = setTimeout(ask, 500); } }
  }
}
