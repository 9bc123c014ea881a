// Undo, redo, what is saved, and how far the review of the clip is. Draws what the events panel was told by the store.
const { emit, on, settled } = window.aw;
const root = element.querySelector(".aw-desk");
const find = (selector) => root.querySelector(selector);
const said = find(".aw-saved"), state = find("select"), back = find("[data-turn=undo]"), forth = find("[data-turn=redo]");
const say = (text, mood) => { said.textContent = text; said.dataset.state = mood; };
// A text that was just typed is saved after a moment's pause; whoever leaves before that is asked.
addEventListener("beforeunload", (event) => { if (said.dataset.state === "unsaved") event.preventDefault(); });

root.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.turn) emit("edit", { op: button.dataset.turn }); else emit("done");
});
const chosen = settled(state, (value) => emit("edit", { op: "state", value }), { begin: () => say("not saved yet", "unsaved") });
on("edit", () => say("saving…", "saving"));
on("unsaved", () => say("not saved yet", "unsaved"));
on("events", (value) => {
  root.classList.toggle("is-empty", !value.analysed);
  if (!value.analysed) return;
  back.disabled = !value.undo; forth.disabled = !value.redo;
  back.title = `Undo (Ctrl Z) · ${value.undo} steps`; forth.title = `Redo (Ctrl Y) · ${value.redo} steps`;
  if (!chosen.waits()) state.value = value.state;
  root.dataset.state = value.state;
  if (value.refused) say("not saved", "refused");
  else say(value.saved_at ? `saved ${new Date(value.saved_at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false })}` : "saved", "saved");
});
