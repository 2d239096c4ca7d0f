// The editor of assertions: add and remove a rule, show the second field only where it means something.
export function rules() {
  const list = document.getElementById("rules"), blank = document.getElementById("blank-rule");
  const named = (row) => row.classList.toggle("no-name", !["header", "json_path"].includes(row.querySelector("[name='rule.type']").value));
  if (list && blank) {
    list.querySelectorAll(".rule").forEach(named);
    document.getElementById("add-rule")?.addEventListener("click", (ev) => {
      ev.preventDefault();
      const row = blank.content.firstElementChild.cloneNode(true);
      list.append(row);
      named(row);
      row.querySelector("select").focus();
    });
    list.addEventListener("click", (ev) => {
      if (!ev.target.closest("[data-remove]")) return;
      const form = list.closest("form");
      ev.target.closest(".rule").remove();
      document.getElementById("add-rule").focus();
      form.dispatchEvent(new Event("change", { bubbles: true }));
    });
    list.addEventListener("change", (ev) => { const row = ev.target.closest(".rule"); if (row) named(row); });
  }
  // The channels' boxes mean something only where channels are chosen.
  const chosen = document.querySelector("[name=channels_mode][value=chosen]");
  const boxes = () => { for (const box of document.querySelectorAll("input[name=channels]")) box.disabled = !chosen.checked; };
  if (chosen) { boxes(); for (const mode of chosen.form.elements.channels_mode) mode.addEventListener("change", boxes); }
  // Destructive forms ask once more, naming what happens.
  document.addEventListener("submit", (ev) => {
    const ask = ev.submitter?.dataset.ask ?? ev.target.dataset.ask;
    if (ask && !confirm(ask)) ev.preventDefault();
  });
  // A field that was resized by hand has a style attribute, which a swap would copy and the CSP refuse.
  document.addEventListener("htmx:before:swap", () => document.querySelectorAll("input[style], textarea[style]").forEach((e) => e.removeAttribute("style")));
  const toast = document.querySelector(".toast[data-timed]");
  if (toast) setTimeout(() => toast.remove(), 8000);
}
