// Single keys (they can be turned off) and Ctrl K.
const off = () => { try { return localStorage.getItem("single-keys") === "off"; } catch { return false; } };
const typing = (e) => e.closest?.("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");
const rows = () => [...document.querySelectorAll("[data-rows] a.name, .watchlist .group:not([hidden]) .r:not([hidden]) a.name")];

function move(step) {
  const all = rows(), at = all.indexOf(document.activeElement);
  const next = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + step))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

async function onRow(what) {
  const id = document.activeElement?.closest?.(".r")?.id?.slice(2);
  if (!id || document.body.dataset.viewer !== undefined) return false;
  const reply = await fetch(`/monitors/${encodeURIComponent(id)}/${what}`, { method: "POST", redirect: "manual" });
  document.getElementById("said").textContent = reply.type === "opaqueredirect" ? { toggle: "Paused or resumed.", run: "Checked." }[what] : "That did not work.";
  dispatchEvent(new CustomEvent("rows-changed", { detail: [id] }));
  return true;
}

export function keys() {
  let went = 0;
  const box = document.getElementById("single-keys");
  if (box) {
    box.checked = !off();
    box.addEventListener("change", () => { try { localStorage.setItem("single-keys", box.checked ? "on" : "off"); } catch {} });
  }
  addEventListener("keydown", (ev) => {
    if ((ev.ctrlKey || ev.metaKey) && ev.key.toLowerCase() === "k") {
      const p = document.getElementById("palette");
      if (p) { ev.preventDefault(); p.togglePopover(); }
      return;
    }
    if (ev.ctrlKey && ev.key === "Enter" && ev.target.closest?.("textarea")) { ev.target.form?.requestSubmit(); return; }
    if (ev.ctrlKey || ev.metaKey || ev.altKey || typing(ev.target) || off() || document.querySelector(":popover-open")) return;
    const key = ev.key.toLowerCase();
    if (Date.now() - went < 1200) {
      went = 0;
      const link = document.querySelector(`[data-go="${CSS.escape(key)}"]`);
      if (link) { ev.preventDefault(); link.click(); }
      return;
    }
    const act = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
    if (key === "g") went = Date.now();
    else if (key === "/") { const f = document.querySelector("[data-filter]"); if (f) { ev.preventDefault(); f.focus(); f.select(); } }
    else if (key === "?") document.getElementById("keys")?.showPopover();
    else if (key === "j") move(1);
    else if (key === "k") move(-1);
    else if (act) { ev.preventDefault(); act.click(); }
    else if (key === "p" && document.querySelector(".watchlist")) onRow("toggle");
    else if (key === "t" && document.querySelector(".watchlist")) onRow("run");
  });
}
