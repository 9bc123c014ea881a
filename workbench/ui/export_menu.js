// Body of the export menu's js_on_load: a format is pressed, the server writes the file, the browser saves it.
const menu = element.querySelector("details"), say = element.querySelector(".aw-export-say");
element.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-format]");
  if (!button) return;
  say.textContent = "writing…";
  const all = element.querySelector("input[value=all]")?.checked ?? false;
  const reply = await server.write({ sid: props.value, format: button.dataset.format, all })
    .catch(() => ({ error: "The server did not answer; try again." }));
  say.textContent = reply.error || `saved as ${reply.name}`;
  if (reply.error) return;
  window.aw.h("a", { href: reply.url, download: reply.name }).click();
});
menu.addEventListener("toggle", () => { if (menu.open) say.textContent = ""; });
document.addEventListener("pointerdown", (event) => { if (menu.open && !menu.contains(event.target)) menu.open = false; });
document.addEventListener("keydown", (event) => { if (event.key === "Escape") menu.open = false; });
