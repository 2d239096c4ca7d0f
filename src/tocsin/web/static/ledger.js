// The overview while it is open: dirty rows are asked for at most once a second (a change of state at once), in one request,
// and only those in sight; the server renders them, so a row looks the same however it came.
import { localise, tick } from "./clocks.js";
import { headlines } from "./signs.js";

const visible = new Set(), dirty = new Set();
const row = (id) => document.getElementById(`m-${id}`);

export function ledger(connection) {
  const box = document.querySelector(".watchlist");
  let timer = 0, urgent = 0, busy = false, pending = false, seen = {};
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const id = target.id.slice(2);
      target.inSight = isIntersecting;
      if (!isIntersecting) { visible.delete(id); continue; }
      visible.add(id);
      tick(target);
      if (dirty.has(id)) soon(1000);
    }
  }, { rootMargin: "200px" });

  box?.querySelectorAll(".group > .r").forEach((r) => { r.inSight = false; watch.observe(r); });
  const soon = (ms) => { if (!timer) timer = setTimeout(flush, ms); };
  connection.listen((event) => {
    if (event.type === "check.completed") { dirty.add(event.monitor); soon(1000); return; }
    if (event.type === "reconnected") { box?.querySelectorAll(".group > .r").forEach((r) => dirty.add(r.id.slice(2))); soon(0); return; }
    if (!event.type || event.type.startsWith("host.")) return;
    if (event.monitor && !row(event.monitor)) { reload(); return; }
    if (event.monitor) { dirty.add(event.monitor); visible.add(event.monitor); }
    pending = true;
    clearTimeout(timer); timer = 0;
    const gap = Date.now() - urgent;
    soon(gap > 1000 ? 30 : 1000 - gap);
  });
  addEventListener("rows-changed", (ev) => { ev.detail.forEach((id) => { dirty.add(id); visible.add(id); }); pending = true; soon(30); });

  // A monitor we do not know: the page is asked for anew, unless somebody is in the middle of something.
  let reloading = 0;
  function reload() {
    clearTimeout(reloading);
    reloading = setTimeout(() => { if (document.activeElement === document.body && !document.querySelector(":popover-open")) location.reload(); else reload(); }, 800);
  }

  async function flush() {
    timer = 0;
    if (document.hidden && !pending) return;
    if (busy) { soon(250); return; }
    const ids = [...dirty].filter((id) => visible.has(id)).slice(0, 200);
    if (!ids.length && !pending) return;
    busy = true; pending = false; urgent = Date.now();
    try {
      const reply = await fetch(`/overview/live?ids=${ids.join(",")}`);
      if (!reply.ok) return;
      const data = await reply.json();
      for (const id of ids) dirty.delete(id);
      apply(data);
    } catch { pending = true; soon(2000); } finally { busy = false; }
  }

  function apply(data) {
    for (const name of ["head", "strips", "vitals"]) {
      const e = document.getElementById(name);
      if (!e || seen[name] === data[name]) continue;
      const focused = document.activeElement?.id && e.contains(document.activeElement) ? document.activeElement.id : null;
      if (name === "head" && seen.head !== undefined) say(data.head);
      e.innerHTML = seen[name] = data[name];
      localise(e); tick(e);
      if (focused) document.getElementById(focused)?.focus();
    }
    headlines(data.open);
    for (const [st, n] of Object.entries(data.counts)) {
      const chip = document.querySelector(`[data-chip="${st}"]`);
      if (chip) { chip.querySelector("b").textContent = n; chip.hidden = !n && chip.getAttribute("aria-pressed") !== "true"; }
    }
    const holder = document.createElement("template");
    let moved = false;
    for (const [id, html] of Object.entries(data.rows)) {
      const old = row(id);
      if (!old) continue;
      holder.innerHTML = html.trim();
      const fresh = holder.content.firstElementChild;
      moved ||= old.dataset.rank !== fresh.dataset.rank;
      for (const name of ["data-st", "data-rank", "data-home"]) if (old.getAttribute(name) !== fresh.getAttribute(name)) old.setAttribute(name, fresh.getAttribute(name));
      exchange(old, fresh);
      tick(old);
    }
    if (moved) settle();
  }
  // Only cells that differ are exchanged, so that nothing outside the row is laid out again and the focus stays.
  function exchange(old, fresh) {
    const cells = [...fresh.children];
    cells.forEach((cell, i) => {
      const was = old.children[i], ago = cell.querySelector("[data-ago]");
      if (ago && was.firstElementChild?.dataset.ago) { was.firstElementChild.dataset.ago = ago.dataset.ago; return; }
      if (was.title !== cell.title) was.title = cell.title;
      if (was.innerHTML === cell.innerHTML) return;
      const inside = was.contains(document.activeElement);
      was.replaceChildren(...cell.childNodes);
      if (inside) was.querySelector("a")?.focus();
    });
  }
  const say = (html) => { const t = document.createElement("template"); t.innerHTML = html; document.getElementById("said").textContent = t.content.querySelector("h1")?.textContent ?? ""; };

  // Rows whose rank changed go where they belong, unless the pointer or the focus is in the list.
  let note = null;
  function settle(force = false) {
    const wrong = [...box.querySelectorAll(".group > .r")].filter((r) => home(r) !== r.parentElement);
    if (!wrong.length) { note?.remove(); note = null; return; }
    if (!force && (box.matches(":hover") || box.contains(document.activeElement))) {
      note ??= Object.assign(document.createElement("button"), { type: "button", className: "btn small moved" });
      note.onclick = () => settle(true);
      note.textContent = `${wrong.length} ${wrong.length === 1 ? "row" : "rows"} moved, sort again`;
      if (!note.isConnected) box.before(note);
      return;
    }
    note?.remove(); note = null;
    for (const r of wrong) place(r, home(r));
    for (const g of box.querySelectorAll("[data-group]")) {
      const all = g.querySelectorAll(".r").length, up = g.querySelectorAll('.r[data-st="up"]').length;
      g.hidden = !all;
      g.querySelector("[data-group-count]").textContent = `${all} ${all === 1 ? "monitor" : "monitors"}, ${g.dataset.group === "!" ? "worst first" : `${up} up`}`;
    }
  }
  function home(r) {
    const groups = [...box.querySelectorAll("[data-group]")];
    if (+r.dataset.rank > 0) return groups[0];
    return groups.slice(1).find((g) => g.dataset.group === r.dataset.home) ?? groups[1] ?? groups[0];
  }
  const name = (r) => r.querySelector("b").textContent.toLowerCase();
  function place(r, group) {
    const after = [...group.querySelectorAll(".r")].find((o) => +o.dataset.rank < +r.dataset.rank || (o.dataset.rank === r.dataset.rank && name(o) > name(r)));
    if (after) after.before(r); else group.append(r);
  }
  box?.addEventListener("pointerleave", () => { if (note) settle(); });

  // The filter: at once, over what is here.
  const input = document.querySelector("[data-filter]"), chips = [...document.querySelectorAll("[data-chip]")];
  function filter() {
    const q = input.value.trim().toLowerCase(), state = chips.find((c) => c.getAttribute("aria-pressed") === "true")?.dataset.chip ?? "";
    let shown = 0, all = 0;
    for (const g of box.querySelectorAll("[data-group]")) {
      let here = 0;
      for (const r of g.querySelectorAll(".r")) {
        const st = r.dataset.st === "acked" ? "down" : r.dataset.st;
        const fits = (!state || st === state) && (!q || r.querySelector(".name").textContent.toLowerCase().includes(q) || r.dataset.home.toLowerCase().includes(q));
        r.hidden = !fits;
        all++; here += fits;
      }
      shown += here;
      g.hidden = !here;
    }
    const none = document.getElementById("no-match");
    none.hidden = shown > 0;
    none.querySelector("[data-hidden]").textContent = `${all} ${all === 1 ? "monitor is" : "monitors are"}`;
  }
  if (input && box) {
    const whole = !new URLSearchParams(location.search).get("q") && !new URLSearchParams(location.search).get("state");
    if (whole) {
      input.addEventListener("input", filter);
      input.form.addEventListener("submit", (ev) => {
        ev.preventDefault();
        const chip = ev.submitter?.dataset.chip;
        if (chip !== undefined) chips.forEach((c) => c.setAttribute("aria-pressed", String(c === ev.submitter)));
        filter();
      });
      document.querySelector("[data-clear]").addEventListener("click", (ev) => { ev.preventDefault(); input.value = ""; chips.forEach((c) => c.setAttribute("aria-pressed", String(c.dataset.chip === ""))); filter(); input.focus(); });
    }
  }
}
