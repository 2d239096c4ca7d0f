// Find or do anything: the server finds, this moves the selection.
export function palette() {
  const box = document.getElementById("palette"), input = box?.querySelector("input"), list = document.getElementById("found");
  if (!box) return;
  let asked = 0, timer = 0;
  const options = () => [...list.querySelectorAll("[role=option]")];
  function choose(at) {
    options().forEach((o, i) => {
      o.setAttribute("aria-selected", String(i === at));
      if (i === at) { input.setAttribute("aria-activedescendant", o.id); o.scrollIntoView({ block: "nearest" }); }
    });
  }
  async function ask() {
    const turn = ++asked;
    const reply = await fetch(`/find?q=${encodeURIComponent(input.value)}`);
    if (turn !== asked || !reply.ok) return;
    list.innerHTML = await reply.text();
    choose(0);
  }
  // `beforetoggle` comes at once and `autofocus` moves the focus at once; `toggle` comes a task later, when letters may be there already.
  box.addEventListener("beforetoggle", (ev) => { if (ev.newState === "open") { input.value = ""; list.replaceChildren(); } });
  box.addEventListener("toggle", (ev) => { if (ev.newState === "open") ask(); });
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(ask, 80); });
  input.addEventListener("keydown", (ev) => {
    const all = options(), at = all.findIndex((o) => o.getAttribute("aria-selected") === "true");
    if (ev.key === "ArrowDown" || ev.key === "ArrowUp") { ev.preventDefault(); choose((at + (ev.key === "ArrowDown" ? 1 : all.length - 1)) % Math.max(1, all.length)); }
    else if (ev.key === "Enter") { ev.preventDefault(); all[at]?.querySelector("a, button")?.click(); }
  });
}
