// Body of the events panel's js_on_load. Its value is what the store says; every `edit` of the page goes out from here.
const { h, clock, emit, on, settled } = window.aw;
const root = element.querySelector(".aw-ev");
const find = (selector) => root.querySelector(selector);
const rows = find("tbody"), hint = find(".aw-hint"), one = find(".aw-ev-one");
const kind = find(".aw-ev-kind"), fresh = find(".aw-ev-new");
const texts = [...root.querySelectorAll("textarea")];
let data = null, selected = null, playhead = 0, timer = null;
let coming = false;   // an event was asked for and is not there yet: what is typed until then belongs to it
const typed = new Map();   // event and field → the text sent for it, until the store says the same
const refused = new Set();   // which of them were not saved: leaving the box tries again

const chosen = () => data?.events.find((event) => event.id === selected) || null;
const status = (event) => event.verdict ? "confirmed" : event.changed ? (event.source === "human" ? "added" : "changed") : event.source === "import" ? "imported" : "model";
const MARKS = { confirmed: "✓", changed: "✎", added: "✎", imported: "⇣", model: "" };
const MEANING = { confirmed: "confirmed", changed: "corrected", added: "added", imported: "imported", model: "model" };

function drawRow(event) {
  const state = status(event), name = event.category || "anomaly";
  const cells = [String(event.number), name, clock(event.start_s), clock(event.end_s), `${(event.end_s - event.start_s).toFixed(2)} s`];
  const row = h("tr", { tabindex: 0, "data-id": event.id, "aria-label": `Event ${event.number}: ${name}`, class: `is-${state}`, "aria-current": event.id === selected ? "true" : null },
    ...cells.map((text, i) => h("td", { text, title: i === 1 ? name : null })),
    h("td", { class: "aw-meter" }, h("i", { style: `width:${Math.round(60 * event.peak_score)}px` }), h("b", { text: event.peak_score.toFixed(2) })),
    h("td", { class: "aw-ev-mark", title: `${MEANING[state]}${state === "model" ? ": nobody has changed it" : event.by ? ` by ${event.by}` : ""}` }, h("b", { text: MARKS[state] }), h("span", { text: MEANING[state] })));
  const go = () => { select(event.id); emit("seek", { frame: event.peak_frame }); };
  row.addEventListener("click", go);
  row.addEventListener("keydown", (press) => { if (press.key === "Enter") go(); });
  return row;
}
function drawRejected(event) {
  const name = event.category || "anomaly";
  return h("tr", { class: "is-rejected" }, h("td", { text: "✕" }), h("td", { text: name }), h("td", { text: clock(event.start_s) }), h("td", { text: clock(event.end_s) }),
    h("td", { colspan: 2, text: "rejected" }), h("td", {}, h("button", { type: "button", text: "Restore", "aria-label": `Restore ${name}`, onclick: () => edit({ op: "restore", id: event.id }) })));
}

function drawKinds() {
  const top = data.categories.filter((item) => !item.parent), option = (item) => h("option", { value: item.name, text: item.name });
  const groups = top.map((item) => {
    const below = data.categories.filter((other) => other.parent === item.id);
    return below.length ? h("optgroup", { label: item.name }, option(item), ...below.map(option)) : option(item);
  });
  kind.replaceChildren(h("option", { value: "", text: "no category" }), ...groups, h("option", { value: "\u0000new", text: "new category…" }));
}

function drawOne() {
  const event = chosen();
  one.classList.toggle("is-none", !event);
  for (const node of root.querySelectorAll("[data-one]")) node.disabled = !event;
  if (!event) return;
  find(".aw-ev-title").textContent = `Event ${event.number}`;
  find("[data-do=confirm]").setAttribute("aria-pressed", String(Boolean(event.verdict)));
  find("[data-do=remove]").lastChild.textContent = event.source === "human" ? "Delete" : "Reject";
  if (event.category && ![...kind.options].some((item) => item.value === event.category)) kind.append(h("option", { value: event.category, text: event.category }));
  if (!choosing.waits()) kind.value = event.category || "";
  for (const box of coming ? [] : texts) {
    const stored = event[box.name] || "", mine = typed.get(`${event.id} ${box.name}`), failed = refused.has(`${event.id} ${box.name}`);
    const held = document.activeElement === box && box.dataset.id === event.id;   // never under the hand that types
    if (!held) box.value = mine ?? stored;
    if (!held || failed) box.dataset.saved = failed ? stored : box.value;
    box.dataset.id = event.id;
  }
  for (const tab of root.querySelectorAll("[data-text]")) tab.classList.toggle("is-filled", Boolean(event[tab.dataset.text]));
}

function draw() {
  root.classList.toggle("is-empty", !data?.analysed);
  hint.textContent = data?.analysed ? data.nothing : "Events appear here once the clip is analysed.";
  rows.replaceChildren(...(data ? [...data.events.map(drawRow), ...data.rejected.map(drawRejected)] : []));
  hint.hidden = Boolean(data?.analysed && rows.children.length);
  drawOne();
}

function select(id) { if (id !== selected) emit("select", { id }); }
on("select", ({ id }) => {
  if (id === selected) return;
  saveText();
  selected = id;
  if (!fresh.hidden) { fresh.hidden = true; kind.hidden = false; }
  for (const row of rows.children) {
    if (row.dataset.id === id) { row.setAttribute("aria-current", "true"); row.scrollIntoView({ block: "nearest" }); } else row.removeAttribute("aria-current");
  }
  drawOne();
});
on("moved", ({ t }) => { playhead = t; });

function edit(command) { emit("edit", command); }
on("edit", (command) => { if (data?.analysed) trigger("edit", { key: data.key, command }); });

function saveText(box = texts.find((item) => item === document.activeElement)) {
  clearTimeout(timer);
  if (!box || !box.dataset.id || box.value === box.dataset.saved) return;
  box.dataset.saved = box.value;
  typed.set(`${box.dataset.id} ${box.name}`, box.value);
  refused.delete(`${box.dataset.id} ${box.name}`);
  edit({ op: "text", id: box.dataset.id, field: box.name, value: box.value });
}
for (const box of texts) {
  box.addEventListener("change", () => saveText(box));
  box.addEventListener("input", () => { emit("unsaved"); clearTimeout(timer); timer = setTimeout(() => saveText(box), 2000); });
  box.addEventListener("keydown", (event) => { if (event.key === "Escape" || (event.key === "Enter" && (event.ctrlKey || event.metaKey))) { saveText(box); box.blur(); } });
}
for (const tab of root.querySelectorAll("[data-text]")) tab.addEventListener("click", () => { show(tab.dataset.text); texts.find((box) => box.name === tab.dataset.text).focus(); });
function show(name) {
  for (const tab of root.querySelectorAll("[data-text]")) tab.setAttribute("aria-pressed", String(tab.dataset.text === name));
  for (const box of texts) box.parentElement.classList.toggle("is-shown", box.name === name);
}
show("judgement");

const choosing = settled(kind, categorise, { begin: () => emit("unsaved") });
function categorise() {
  const event = chosen();
  if (!event) return;
  if (kind.value !== "\u0000new") { edit({ op: "category", id: event.id, value: kind.value }); return; }
  kind.hidden = true; fresh.hidden = false; fresh.value = ""; fresh.focus();
}
function named(keep) {
  const event = chosen(), value = fresh.value.trim();
  if (fresh.hidden) return;
  fresh.hidden = true; kind.hidden = false; kind.value = event?.category || "";
  if (keep && value && event) edit({ op: "category", id: event.id, value, new: true });
}
fresh.addEventListener("keydown", (event) => { if (event.key === "Enter") named(true); if (event.key === "Escape") named(false); });
fresh.addEventListener("blur", () => named(true));

function act(what) {
  const event = chosen(), id = event?.id;
  if (!data?.analysed) return;
  if (what === "add") { makeRoom(); edit({ op: "add", t: playhead }); return; }
  if (!event) { emit("told", { text: "Select an event first: click it, or PgDn." }); return; }
  if (what === "start") edit({ op: "move", id, start_s: playhead });
  if (what === "end") edit({ op: "move", id, end_s: playhead });
  if (what === "split") edit({ op: "split", id, t: playhead });
  if (what === "merge" || what === "confirm") edit({ op: what, id });
  if (what === "remove") edit({ op: event.source === "human" ? "delete" : "reject", id });
  if (what === "category") kind.focus();
  if (what === "write") (texts.find((box) => box.parentElement.classList.contains("is-shown")) || texts[0]).focus();
}
function makeRoom() {
  coming = true;
  for (const box of texts) { saveText(box); box.value = box.dataset.id = box.dataset.saved = ""; }
}
function arrived() {
  coming = false;
  for (const box of texts) {
    if (data.select && box.value) { box.dataset.id = data.select; saveText(box); }
  }
}
// What was sent and stands in the store is done with; what was refused stays in its box.
function compare() {
  for (const [key, text] of typed) {
    const [id, field] = key.split(" "), event = data.events.find((item) => item.id === id);
    if (!event || (event[field] || "").trim() === text.trim()) { typed.delete(key); refused.delete(key); } else if (data.refused) refused.add(key);
  }
  if (refused.size) setTimeout(() => emit("unsaved"), 0);   // after the bar was told of this state
}
root.addEventListener("click", (event) => { const button = event.target.closest("[data-do]"); if (button && !button.disabled) act(button.dataset.do); });

function step(direction) {
  const places = [...data.events].sort((a, b) => a.start_s - b.start_s);
  const at = places.findIndex((event) => event.id === selected);
  const next = at < 0 ? (direction > 0 ? places.find((e) => e.peak_s > playhead) : places.findLast((e) => e.peak_s < playhead)) || places[0] : places[at + direction];
  if (!next) return;
  select(next.id);
  emit("seek", { frame: next.peak_frame });
}
on("command", (command) => {
  if (!data?.analysed) return;
  if (command.edit) act(command.edit);
  if (command.event && data.events.length) step(command.event);
  if (command.turn) edit({ op: command.turn });
  if (command.done) finish();
});
function finish() { if (data?.analysed) trigger("done", { key: data.key, order: localStorage.getItem("aw-order") || "score" }); }
on("done", finish);

function load() {
  const next = window.aw.parse(props.value);
  const other = next?.key !== data?.key, before = selected;
  data = next;
  if (other) { selected = null; coming = false; typed.clear(); refused.clear(); }
  root.dataset.serial = data?.serial ?? "";
  if (data && (other || kind.options.length < 3)) drawKinds();
  if (data?.select) selected = data.select;
  if (data && selected && !chosen()) selected = null;
  if (data && !selected && data.events.length) selected = [...data.events].sort((a, b) => b.peak_score - a.peak_score)[0].id;
  if (data?.categories.length !== kind.dataset.count) { kind.dataset.count = data?.categories.length; if (data) drawKinds(); }
  if (data) compare();
  if (coming && data && (data.select || data.refused)) arrived();
  draw();
  if (other || selected !== before) rows.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  emit("events", data || { key: null, events: [], rejected: [], analysed: false });
  emit("select", { id: selected });
}
watch("value", load);
load();
