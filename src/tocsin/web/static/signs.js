// The bell, the title and the favicon follow the number of open incidents.
export function headlines(open) {
  document.title = (open ? `${open} open · ` : "") + document.title.replace(/^\d+ open · /, "");
  for (const e of document.querySelectorAll("[data-open-count]")) e.textContent = open ? `${open} open` : "";
  for (const e of document.querySelectorAll(".brand")) {
    if (!open) delete e.dataset.ring;
    else e.dataset.ring = +(e.dataset.was ?? open) < open ? "new" : "old";
    e.dataset.was = open;
  }
  const badge = document.querySelector("[data-open-badge]"), tab = document.querySelector("[data-open-tab]");
  if (badge) { badge.hidden = !open; badge.querySelector("span").textContent = open; }
  if (tab) tab.textContent = open ? ` ${open}` : "";
  const icon = document.querySelector("link[rel=icon]"), want = open ? icon.dataset.ring : icon.dataset.quiet;
  if (icon.getAttribute("href") !== want) icon.setAttribute("href", want);
}
