// Body of the cards' js_on_load. A card selects its instance and takes the viewer there; its fields say what to amend.
// Cards are kept and filled anew, never rebuilt, so that a field in which somebody types keeps its text and caret.
const { h, svg, clock, emit, on, settled, NEVER } = window.aw;
const root = element.querySelector(".aw-cast"), list = root.querySelector(".aw-instances"), hint = root.querySelector(".aw-hint");
const ICONS = {
  track: "M2 12C5 12 5 4 8 4s3 6 6 6M11.5 7.5L14 10l-2.5 2.5", describe: "M2.5 3h11v7.5H7L4 13v-2.5H2.5zM5 6h6M5 8h4",
  starts: "M3 3v10M6 8h8M9 5L6 8l3 3", ends: "M13 3v10M2 8h8M7 5l3 3-3 3", delete: "M3 4.500h10M6 4.500V3h4v1.500M4.5 4.500l.7 8.500h5.600l.7-8.5",
};
const cards = new Map();
let data = null, selected = null, frame = 0;

const send = (command) => trigger('amend', { key: data.key, ...command });
const icon = (name, label, title) => h("button", { type: "button", "data-act": name, "aria-label": label, title },
  svg("svg", { viewBox: "0 0 16 16" }, svg("path", { d: ICONS[name] })));

function make(item) {
  const number = item.id;
  const field = (name, label) => {
    const area = h("textarea", { rows: 1, "aria-label": `${label} of instance ${number}`, placeholder: "not said", "data-field": name, maxlength: 4000 });
    area.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); area.blur(); }
      if (event.key === "Escape") { area.value = area.dataset.was; area.blur(); }
    });
    area.addEventListener("change", () => { if (area.value.trim() !== area.dataset.was) send({ op: "text", id: number, field: name, value: area.value }); });
    return h("label", {}, h("i", { text: label }), area);
  };
  const role = h("select", { class: "aw-role", "aria-label": `Role of instance ${number}` }, ...data.roles.map((name) => h("option", { value: name, text: name })));
  settled(role, (value) => send({ op: "role", id: number, value }));
  const merge = h("select", { class: "aw-merge", "aria-label": `Merge another instance into ${number}`, title: "Merge another instance into this one" });
  settled(merge, (value) => { if (value) send({ op: "merge", id: number, other: Number(value) }); }, { pause: NEVER });
  const card = h("article", { class: "aw-instance", tabindex: 0 },
    h("h3", {}, h("b", { text: number }), role, h("span", { class: "aw-kind" }), h("time", {})),
    field("appearance", "looks"), field("motion", "moves"),
    h("div", { class: "aw-acts" }, icon("track", `Track instance ${number}`, "Follow it through the event from the frame on show (t)"),
      icon("describe", `Describe instance ${number} again`, "Ask the model again what it looks like and how it moves"),
      icon("starts", `Instance ${number} begins at this frame`, "It begins at the frame on show"),
      icon("ends", `Instance ${number} ends at this frame`, "It ends at the frame on show"),
      merge, icon("delete", `Delete instance ${number}`, "Delete this instance")));
  card.addEventListener("click", (event) => {
    const act = event.target.closest("[data-act]")?.dataset.act;
    if (act) return send({ op: act, id: number, frame });
    if (event.target.closest("select")) return mark(number);
    visit(number);
  });
  card.addEventListener("keydown", (event) => {
    if (event.target !== card) return;
    if (event.key === "Enter") { event.preventDefault(); visit(number); }   // Space plays, as everywhere
    if (event.key === "Delete") send({ op: "delete", id: number });
  });
  return card;
}

function fill(card, item) {
  card.style.setProperty("--role", item.colour);
  card.setAttribute("aria-label", `Instance ${item.id}, ${item.role}`);
  card.querySelector(".aw-role").value = item.role;
  card.querySelector(".aw-kind").textContent = item.category === "object" ? "" : item.category;
  const time = card.querySelector("time");
  time.textContent = `${clock(item.first_s, 1)}–${clock(item.last_s, 1)}`;
  time.title = `frames ${item.first_frame} to ${item.last_frame}, a mask or box in ${item.frames} of them${item.by ? ` · edited by ${item.by}` : ""}`;
  card.classList.toggle("is-edited", Boolean(item.by));
  for (const area of card.querySelectorAll("textarea")) {
    const text = item[area.dataset.field];
    if (document.activeElement !== area || area.value === area.dataset.was) area.value = text;
    area.dataset.was = text;
  }
  const merge = card.querySelector(".aw-merge"), others = data.items.filter((other) => other.id !== item.id);
  merge.replaceChildren(h("option", { value: "", text: "merge…" }), ...others.map((other) => h("option", { value: other.id, text: `with ${other.id} ${other.role}` })));
  merge.disabled = !others.length;
  card.toggleAttribute("aria-current", item.id === selected);
  if (item.id === selected) card.setAttribute("aria-current", "true");
}

function visit(number) {
  const item = data.items.find((other) => other.id === number);
  if (!item) return;
  mark(number);
  const inside = frame >= item.first_frame && frame <= item.last_frame;   // already in sight: the picture stays
  if (!inside) emit("seek", { frame: item.first_frame, instance: number });
}
function mark(number) {
  if (selected === number) return;
  emit("instance", { id: number });
  show(number);
}
function show(number) {
  selected = number;
  for (const [id, card] of cards) {
    if (id === number) { card.setAttribute("aria-current", "true"); card.scrollIntoView({ block: "nearest" }); }
    else card.removeAttribute("aria-current");
  }
}

function load() {
  const next = window.aw.parse(props.value);
  if (data && next?.key !== data.key) { cards.clear(); list.replaceChildren(); selected = null; }
  data = next;
  hint.textContent = data?.hint ?? "";
  hint.hidden = !hint.textContent;
  const items = data?.items ?? [];
  for (const [id, card] of cards) if (!items.some((item) => item.id === id)) { card.remove(); cards.delete(id); }
  items.forEach((item, place) => {
    if (!cards.has(item.id)) cards.set(item.id, make(item));
    const card = cards.get(item.id);
    if (list.children[place] !== card) list.insertBefore(card, list.children[place] ?? null);
    fill(card, item);
  });
}

on("moved", (place) => { frame = place.frame; });
on("selected", ({ instance }) => show(instance ?? null));
watch("value", load);
load();
