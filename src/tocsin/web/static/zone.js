// Inputs for a time zone begin with the reader's own, and so does the time beside them.
const zone = () => { try { return Intl.DateTimeFormat().resolvedOptions().timeZone; } catch { return ""; } };

export function zones() {
  const mine = zone();
  if (!mine) return;
  for (const input of document.querySelectorAll("[data-zone]")) {
    const start = input.form?.elements.starts_at;
    if (start?.value && input.value === "UTC") {
      const at = new Date(`${start.value}Z`);
      if (!Number.isNaN(at.getTime())) start.value = new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
    }
    input.value = mine;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }
}
