// The one module every page loads: theme, clocks, keys, find-or-do, tally tooltip, and the live connection.
import { clocks } from "./clocks.js";
import { copy } from "./copy.js";
import { keys } from "./keys.js";
import { palette } from "./palette.js";
import { tally } from "./tally.js";
import { zones } from "./zone.js";
import { forms } from "./form.js";
import { live } from "./live.js";
import { ledger } from "./ledger.js";
import { fresh } from "./fresh.js";

const root = document.documentElement;
for (const button of document.querySelectorAll("[data-theme-toggle]")) {
  button.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch {}
    dispatchEvent(new Event("theme"));
  });
}
// A row of tabs that is wider than the screen begins with the present one in sight.
for (const tabs of document.querySelectorAll(".tabs")) {
  const here = tabs.querySelector("[aria-current]");
  if (here && tabs.scrollWidth > tabs.clientWidth) tabs.scrollLeft = here.offsetLeft - (tabs.clientWidth - here.offsetWidth) / 2 - tabs.offsetLeft;
}
clocks();
copy();
keys();
palette();
tally();
zones();
forms();
if (document.getElementById("live")) {
  const connection = live();
  if (document.getElementById("head")) ledger(connection);
  else fresh(connection);
}
