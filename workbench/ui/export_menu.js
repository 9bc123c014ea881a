// Body of the export menu's js_on_load: a format is pressed, the server writes the file, the browser saves it; or what
// was reviewed goes to the Hub.
const menu = element.querySelector("details"), say = element.querySelector(".aw-export-say"), hub = element.querySelector("form");
const all = () => element.querySelector("input[value=all]")?.checked ?? false;
const tell = (text, refused) => { say.textContent = text; say.dataset.state = refused ? "refused" : ""; };
const asked = (call) => call.catch(() => ({ error: "The server did not answer; try again." }));
element.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-format]");
  if (!button) return;
  tell("writing…");
  const reply = await asked(server.write({ sid: props.value, format: button.dataset.format, all: all() }));
  tell(reply.error || `saved as ${reply.name}`, reply.error);
  if (reply.error) return;
  window.aw.h("a", { href: reply.url, download: reply.name }).click();
});
hub.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = hub.querySelector("button");
  button.disabled = true;
  tell("pushing…");
  const reply = await asked(server.push({ sid: props.value, repo: hub.repo.value, all: all() }));
  button.disabled = false;
  tell(reply.error || `pushed to ${reply.repo} · `, reply.error);
  if (reply.url) say.append(window.aw.h("a", { href: reply.url, target: "_blank", rel: "noopener noreferrer", text: "see the commit" }));
});
menu.addEventListener("toggle", () => { if (menu.open) tell(""); });
document.addEventListener("pointerdown", (event) => { if (menu.open && !menu.contains(event.target)) menu.open = false; });
document.addEventListener("keydown", (event) => { if (event.key === "Escape") menu.open = false; });
