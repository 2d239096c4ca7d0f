// Buttons marked data-copy put the text of the element they name on the clipboard; where the browser keeps that from a
// page (no https), the text is selected instead, ready for the person's own Ctrl+C.
export function copy() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      getSelection().selectAllChildren(source);
      try {
        await navigator.clipboard.writeText(source.textContent);
        button.textContent = "Copied";
      } catch { button.textContent = "Selected"; }
    });
  }
}
