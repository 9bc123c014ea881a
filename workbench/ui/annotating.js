// Body of the js_on_load of the menus that write texts. The job is the server's; it is asked for while it runs.
const { h, on } = window.aw;
const menu = element.querySelector("details"), find = (selector) => menu.querySelector(selector);
const form = find("form"), run = find(".aw-annotate-run"), bar = find(".aw-annotate-bar"), say = find(".aw-annotate-say"), notes = find(".aw-annotate-notes"), title = find("summary");
const POLL_MS = 700, REST = title.textContent;
let timer = null, was = null, waiting = false;
const all = find("input[value=all]");

function draw(state) {
  const active = Boolean(state.active), percent = Math.round(100 * (state.fraction || 0));
  form.hidden = active; run.hidden = !active;
  title.textContent = active ? `Writing texts ${percent} %` : REST;
  menu.classList.toggle("is-busy", active);
  if (active) {
    for (const [name, value] of [["aria-valuenow", percent], ["aria-valuetext", state.stage]]) bar.setAttribute(name, value);
    bar.querySelector("i").style.width = `${percent}%`;
    bar.querySelector("span").textContent = state.stage;
    bar.title = `${state.what}: ${state.stage}`;
    bar.querySelector("em").textContent = `${percent} %`;
  }
  say.textContent = state.error || (active ? "" : state.told || "");
  say.dataset.state = state.error ? "refused" : "";
  const left = (!active && state.notes) || [];
  notes.hidden = !left.length;
  notes.replaceChildren(...left.map((text) => h("li", { text })));
  // The page shows what was written as soon as a clip is finished, and once more at the end.
  if (was && (was.place !== state.place || was.active !== active)) trigger("written");
  was = active ? { place: state.place, active } : null;
}
async function ask(more) {
  if (!props.value || waiting) return;
  waiting = true;
  clearTimeout(timer);
  const reply = await server.annotation({ sid: props.value, ...more }).catch(() => ({ error: "The server did not answer; try again." }));
  waiting = false;
  if (reply.error && !("active" in reply)) { say.textContent = reply.error; say.dataset.state = "refused"; } else draw(reply);
  if (was) timer = setTimeout(() => ask({}), document.hidden ? 4 * POLL_MS : POLL_MS);
}
form.addEventListener("submit", (event) => {
  event.preventDefault();
  say.textContent = "";
  ask({ do: "begin", all: all?.checked ?? false, again: form.again.checked }).then(() => window.aw.emit("annotation"));
});
find("[data-stop]").addEventListener("click", () => { say.textContent = "ending…"; waiting = false; ask({ do: "stop" }); });
on("annotation", () => { if (!was) ask({}); });
menu.addEventListener("toggle", () => { if (menu.open && !was) ask({}); });
document.addEventListener("pointerdown", (event) => { if (menu.open && !menu.contains(event.target)) menu.open = false; });
document.addEventListener("keydown", (event) => { if (event.key === "Escape") menu.open = false; });
watch("value", () => ask({}));
