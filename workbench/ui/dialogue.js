// Body of the dialogue's js_on_load. An answer is drawn sentence by sentence: one that rests on something goes there
// when it is clicked, one that names no evidence is marked. Answers are edited where they stand.
const { h, svg, emit } = window.aw;
const root = element.querySelector(".aw-talk"), list = root.querySelector(".aw-turns"), hint = root.querySelector(".aw-hint"), caution = root.querySelector(".aw-caution");
const ICONS = {
  confirm: "M3 8.5l3.5 3.5L13 4.5", edit: "M3 13l.7-3L10.5 3.2l2.3 2.3L6 12.3z", reject: "M4 4l8 8M12 4l-8 8",
  again: "M12.5 6A5 5 0 1 0 13 9M12.8 2.5V6H9.3", copy: "M6 6h7v7H6zM10 6V3H3v7h3",
};
const BARE = "This sentence names no evidence in the clip.";
let data = null, editing = null;

const icon = (name, label, extra = {}) => h("button", { type: "button", "data-act": name, "aria-label": label, title: label, ...extra },
  svg("svg", { viewBox: "0 0 16 16" }, svg("path", { d: ICONS[name] })));
const visit = (chip) => emit("seek", { t: chip.start_s + 1e-4, until: chip.end_s, instance: chip.instance ?? undefined });

function drawChip(chip, place) {
  const button = h("button", { type: "button", class: `aw-chip${chip.colour ? " is-who" : ""}`, "data-chip": place, title: chip.title ? `${chip.label}, ${chip.title}` : `go to ${chip.label}`, text: chip.label });
  if (chip.colour) button.style.setProperty("--role", chip.colour);
  button.addEventListener("click", () => {
    for (const other of root.querySelectorAll(".aw-chip[aria-current]")) other.removeAttribute("aria-current");
    button.setAttribute("aria-current", "true");
    visit(chip);
  });
  return button;
}

function drawWords(turn) {
  const words = h("p", { class: "aw-words" });
  for (const sentence of turn.sentences) {
    const bare = !sentence.chips.length, node = h("span", { class: bare ? "is-bare" : "is-held", title: bare ? BARE : null, text: sentence.text });
    if (!bare) node.addEventListener("click", () => { if (!String(getSelection())) visit(turn.chips[sentence.chips.at(-1)]); });
    words.append(node);
  }
  if (!turn.answer) words.append(h("span", { class: "is-bare", text: "(no words)" }));
  if (turn.stopped) words.append(h("em", { text: " …stopped." }));
  return words;
}

function drawTurn(turn, isLast) {
  const rejected = turn.verdict === "rejected";
  const tools = rejected
    ? [h("span", { text: "rejected" }), h("button", { type: "button", class: "aw-link", "data-act": "restore", text: "Restore" })]
    : [icon("confirm", turn.verdict ? "Confirmed; take it back" : "Confirm this answer", { "aria-pressed": String(Boolean(turn.verdict)) }),
      icon("edit", "Correct this answer"), icon("reject", "Reject this answer"), icon("again", "Ask again"), icon("copy", "Copy the answer"),
      turn.by ? h("span", { class: "aw-by", text: `corrected by ${turn.by}` }) : ""];
  const chips = turn.chips.length ? h("div", { class: "aw-chips" }, h("span", { text: "rests on" }), ...turn.chips.map(drawChip))
    : h("div", { class: "aw-chips" }, h("span", { class: "is-bare", text: "names no evidence in the clip" }));
  const node = h("section", { class: `aw-turn${rejected ? " is-rejected" : ""}${turn.verdict === "confirmed" ? " is-confirmed" : ""}${isLast ? " is-last" : ""}`, "data-id": turn.id },
    h("p", { class: "aw-asked", "data-testid": "user", text: turn.question }),
    h("div", { class: "aw-said", "data-testid": "bot" }, drawWords(turn), rejected ? "" : chips, h("div", { class: "aw-acts" }, ...tools)));
  node.addEventListener("click", (event) => { const act = event.target.closest("[data-act]")?.dataset.act; if (act) acted(act, turn, node); });
  node.querySelector(".aw-words").addEventListener("dblclick", () => { if (!rejected) open(turn, node); });
  return node;
}

function acted(act, turn, node) {
  if (act === "edit") open(turn, node);
  else if (act === "copy") navigator.clipboard?.writeText(turn.answer);
  else if (act === "again") trigger('again', { key: data.key, id: turn.id });
  else trigger('amend', { key: data.key, op: act, id: turn.id });
}

// The words become a field; leaving it saves, Escape does not.
function open(turn, node) {
  if (editing) return;
  const words = node.querySelector(".aw-words");
  const area = h("textarea", { class: "aw-edit", "aria-label": "Answer", maxlength: 4000, rows: 3 });
  area.value = turn.answer;
  editing = turn.id;
  let open = true;
  const close = (save) => {
    if (!open) return;
    open = false; editing = null;
    const text = area.value.trim();
    if (save && text && text !== turn.answer) trigger('amend', { key: data.key, op: 'answer', id: turn.id, value: text });
    area.replaceWith(words);
    load();
  };
  area.addEventListener("blur", () => close(true));
  area.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Escape") close(false);
    if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); close(true); }
  });
  words.replaceWith(area);
  area.focus();
}

function drawPending(pending) {
  return h("section", { class: "aw-turn is-writing" }, h("p", { class: "aw-asked", "data-testid": "user", text: pending.question }),
    h("div", { class: "aw-said", "data-testid": "bot" }, h("p", { class: "aw-words" }, h("span", { text: pending.text || "…" }), h("i", { class: "aw-caret" }))));
}

const drawn = new Map();   // turn id → [its JSON, its node]: what has not changed is not drawn again
function load() {
  const next = window.aw.parse(props.value);
  if (next?.key !== data?.key) { drawn.clear(); editing = null; }
  const near = root.scrollHeight - root.scrollTop - root.clientHeight < 60, more = (next?.turns.length ?? 0) + Boolean(next?.pending) > (data?.turns.length ?? 0) + Boolean(data?.pending);
  data = next;
  if (editing) return;   // never under the hand that writes
  const turns = data?.turns ?? [];
  const nodes = turns.map((turn, i) => {
    const text = JSON.stringify([turn, i === turns.length - 1]);
    if (drawn.get(turn.id)?.[0] !== text) drawn.set(turn.id, [text, drawTurn(turn, i === turns.length - 1)]);
    return drawn.get(turn.id)[1];
  });
  if (data?.pending) nodes.push(drawPending(data.pending));
  list.replaceChildren(...nodes);
  caution.textContent = data?.caution ?? "";
  caution.hidden = !data?.caution;
  hint.hidden = nodes.length > 0;
  if (near || more) root.scrollTop = root.scrollHeight;
}
watch("value", load);
load();
