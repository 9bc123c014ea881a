// Body of the export menu's js_on_load: a format is pressed, the server writes the file, the browser saves it. What takes
// long (files cut, a push to the Hub) is a job of the server's, which is asked for while it runs and can be cancelled.
const { h } = window.aw;
const menu = element.querySelector("details"), find = (selector) => menu.querySelector(selector);
const say = find(".aw-export-say"), hub = find("form"), run = find(".aw-export-run"), bar = find(".aw-annotate-bar"), notes = find(".aw-export-notes"), title = find("summary");
const POLL_MS = 500;
let timer = null, watched = false, waiting = null;
const all = () => find("input[value=all]")?.checked ?? false;
const tell = (text, refused) => { say.textContent = text; say.dataset.state = refused ? "refused" : ""; notes.hidden = true; };
const asked = (call) => call.catch(() => ({ error: "The server did not answer; try again." }));
const save = (file) => { tell(`saved as ${file.name}`); h("a", { href: file.url, download: file.name }).click(); };

element.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-format]");
  if (!button) return;
  const request = { format: button.dataset.format, all: all() };
  if (find("input[name=media]").checked && request.format.startsWith("hivau")) return ask({ do: "media", ...request });
  tell("writing…");
  const reply = await asked(server.write({ sid: props.value, ...request }));
  if (reply.error) tell(reply.error, true); else save(reply);
});
hub.addEventListener("submit", (event) => { event.preventDefault(); ask({ do: "push", repo: hub.repo.value, all: all() }); });
find("[data-stop]").addEventListener("click", () => ask({ do: "stop" }));

// One question at a time, in their order: a press of Cancel waits for the answer to the last look, not the other way.
async function ask(more) {
  clearTimeout(timer);
  if (!props.value) return;
  const before = waiting;
  const mine = waiting = (async () => { await before; return asked(server.send({ sid: props.value, ...more })); })();
  draw(await mine, Boolean(more.do));
  if (waiting === mine) { waiting = null; clearTimeout(timer); if (watched) timer = setTimeout(() => ask({}), document.hidden ? 4 * POLL_MS : POLL_MS); }
}
function draw(state, began) {
  if (state.active === undefined) { if (state.error) tell(state.error, true); return; }
  const percent = Math.round(100 * (state.fraction || 0));
  if (state.active && !watched) tell("");
  run.hidden = !state.active;
  title.title = state.active ? `${state.what}: ${percent} %` : "";
  menu.classList.toggle("is-busy", state.active);
  if (state.active) {
    bar.setAttribute("aria-valuenow", percent);
    bar.setAttribute("aria-valuetext", state.stage);
    bar.querySelector("i").style.width = `${percent}%`;
    bar.querySelector("span").textContent = state.stage;
    bar.title = `${state.what}: ${state.stage}`;
  } else if (watched || began) ended(state);
  watched = state.active;
}
function ended({ done, told, error }) {
  if (!done) return tell(error || told, error);
  if (done.name) save(done);
  else {
    tell(`pushed to ${done.repo} · `);
    say.append(h("a", { href: done.url, target: "_blank", rel: "noopener noreferrer", text: "see the commit" }));
  }
  notes.hidden = !done.notes?.length;
  notes.replaceChildren(...(done.notes ?? []).map((text) => h("li", { text })));
}
menu.addEventListener("toggle", () => { if (!menu.open) return; if (!watched) tell(""); ask({}); });
document.addEventListener("pointerdown", (event) => { if (menu.open && !menu.contains(event.target)) menu.open = false; });
document.addEventListener("keydown", (event) => { if (event.key === "Escape") menu.open = false; });
watch("value", () => ask({}));
