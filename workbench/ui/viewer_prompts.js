// Third part of the viewer's js_on_load: instances on the picture. A click selects; points and boxes prompt a mask.
// A draft is what has been pointed at on one frame; the server answers each change of it with a mask.
const pen = find(".aw-pen"), tools = find(".aw-tools"), bar = find(".aw-bar"), draftMask = find(".aw-draft");
const who = find(".aw-bar-who"), say = find(".aw-bar-say");
const TOOLS = { select: "Select", add: "Point on", less: "Point not on", box: "Box" };
const DRAG_PX = 5;
let tool = "select", draft = null, drag = null, asking = false, askAgain = false;

const atPicture = (event) => {
  const place = sheet.getBoundingClientRect();
  const part = (value, start, length, size) => Math.min(size, Math.max(0, ((value - start) / length) * size));
  return [part(event.clientX, place.left, place.width, clip.width), part(event.clientY, place.top, place.height, clip.height)];
};
const boxOf = (a, b) => [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])];
const unit = () => clip.width / Math.max(1, sheet.clientWidth);
const overlap = (a, b) => {
  const w = Math.min(a[2], b[2]) - Math.max(a[0], b[0]), h = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (w <= 0 || h <= 0) return 0;
  const area = (c) => (c[2] - c[0]) * (c[3] - c[1]);
  return (w * h) / (area(a) + area(b) - w * h);
};

function setTool(name) {
  if (!clip?.can_prompt) return;
  tool = name;
  for (const button of tools.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
  sheet.dataset.tool = tool;
}

function choose(id) {
  if (selected === id) return;
  selected = id;
  if (shown && clip) overlays();
  emit("selected", { instance: id });
  if (id !== null) openCards();
}
// The cards are on a tab that does not exist in the page before it is opened for the first time.
function openCards() {
  const tab = [...document.querySelectorAll("#aw-tabs [role=tab]")].find((node) => node.textContent.trim().startsWith("Instances"));
  if (tab?.getAttribute("aria-selected") === "false") tab.click();
}

// Which instance a prompt is meant for: the selected one if it is near, or has nothing on this frame yet; else a new one.
function meant(mark) {
  if (selected === null) return null;
  const there = shown.instances.find((item) => item.id === selected);
  if (!there) return selected;
  if (mark.box) return overlap(mark.box, there.box) > 0.2 ? selected : null;
  const [x0, y0, x1, y1] = there.box, reach = 0.35 * Math.max(x1 - x0, y1 - y0), [x, y] = mark.point;
  return x > x0 - reach && x < x1 + reach && y > y0 - reach && y < y1 + reach ? selected : null;
}

function addMark(mark) {
  if (!shown) return;
  if (draft && draft.frame !== shown.frame) draft = null;
  draft ??= { frame: shown.frame, instance: meant(mark), marks: [], reply: null };
  if (mark.label === 0 && !draft.marks.length && draft.instance === null) { draft = null; return note("Point at the object first, with + or a box; − then takes away from it."); }
  if (mark.box) draft.marks = draft.marks.filter((old) => !old.box);
  draft.marks.push(mark);
  askMask();
}
function undoMark() {
  if (!draft) return;
  draft.marks.pop();
  if (draft.marks.length) askMask(); else clearDraft();
}
function clearDraft() {
  draft = null;
  if (clip) drawPen();
}

const asked = (d) => ({
  frame: d.frame, instance: d.instance, box: d.marks.find((mark) => mark.box)?.box ?? null,
  points: d.marks.filter((mark) => mark.point).map((mark) => mark.point),
  labels: d.marks.filter((mark) => mark.point).map((mark) => mark.label),
});

// Only the newest draft counts: a mask for an older one is dropped when it comes.
async function askMask() {
  askAgain = true;
  if (draft) draft.edition = (draft.edition ?? 0) + 1;
  drawPen();
  if (asking) return;
  asking = true;
  try {
    while (askAgain && draft && clip) {
      askAgain = false;
      const mine = draft, edition = mine.edition;
      const reply = await server.prompt({ sid: clip.sid, key: clip.key, width: pixels(), ...asked(mine) });
      if (draft !== mine || mine.edition !== edition) continue;
      mine.reply = reply && !reply.error ? reply : null;
      note(reply?.error ?? "");
      drawPen();
    }
  } catch (error) { note("The mask could not be fetched; is the server still running?"); console.error(error); }
  asking = false;
  drawPen();
}

// Keep the mask, or follow it through the event. The draft stays on show until the new overlays arrive.
function commitDraft(follow) {
  if (!clip?.can_prompt) return;
  if (!draft && follow && selected !== null) return trigger('mark', { key: clip.key, frame: shown.frame, instance: selected, follow: true });
  if (!draft?.reply || draft.saving) return;
  const mine = draft;
  mine.saving = true;
  setTimeout(() => { if (draft === mine) { mine.saving = false; drawPen(); } }, 4000);   // refused: it can be pressed again
  drawPen();
  trigger('mark', { key: clip.key, ...asked(mine), follow });
}

function drawPen() {
  pen.replaceChildren();
  const here = draft && shown && draft.frame === shown.frame && !playing;
  draftMask.hidden = !(here && draft.reply);
  if (!draftMask.hidden && draftMask.src !== draft.reply.mask) draftMask.src = draft.reply.mask;
  if (here && draft.reply) root.dataset.draft = draft.reply.digest; else delete root.dataset.draft;
  drawBar();
  if (!clip || playing) return;
  pen.setAttribute("viewBox", `0 0 ${clip.width} ${clip.height}`);
  const u = unit();
  const rect = (box, kind) => svg("rect", { class: kind, x: box[0], y: box[1], width: box[2] - box[0], height: box[3] - box[1], "stroke-width": 1.5 * u, "stroke-dasharray": `${5 * u} ${4 * u}` });
  if (drag?.moved) pen.append(rect(boxOf(drag.from, drag.to), "aw-pen-box"));
  if (!here) return;
  for (const mark of draft.marks) {
    if (mark.box) { pen.append(rect(mark.box, "aw-pen-box")); continue; }
    const [cx, cy] = mark.point, arm = 3.2 * u;
    pen.append(svg("circle", { class: mark.label ? "is-on" : "is-off", cx, cy, r: 6.5 * u, "stroke-width": 1.5 * u }),
      svg("path", { d: `M${cx - arm} ${cy}h${2 * arm}${mark.label ? `M${cx} ${cy - arm}v${2 * arm}` : ""}`, "stroke-width": 1.8 * u }));
  }
}

function drawBar() {
  bar.hidden = !draft;
  if (!draft) return;
  const ids = ["", ...clip.instances.map((item) => String(item.id))];
  if (who.dataset.ids !== ids.join()) {
    who.replaceChildren(h("option", { value: "", text: "new instance" }), ...clip.instances.map((item) => h("option", { value: item.id, text: `${item.id} ${item.role}` })));
    who.dataset.ids = ids.join();
  }
  who.value = draft.instance ?? "";
  const elsewhere = shown && draft.frame !== shown.frame;
  say.textContent = draft.saving ? "saving…" : elsewhere ? `on frame ${draft.frame}` : draft.reply ? `fit ${Math.round(100 * draft.reply.score)} %` : asking ? "looking…" : "no mask";
  for (const button of bar.querySelectorAll("[data-bar=keep],[data-bar=track]")) button.disabled = !draft.reply || draft.saving;
}

sheet.addEventListener("pointerdown", (event) => {
  if (!clip?.can_prompt || event.button !== 0) return;
  event.preventDefault();
  root.focus({ preventScroll: true });
  moved = true;
  if (playing) { pause(); return; }
  drag = { from: atPicture(event), to: atPicture(event), x: event.clientX, y: event.clientY, moved: false };
  sheet.setPointerCapture(event.pointerId);
});
sheet.addEventListener("pointermove", (event) => {
  if (!drag) return;
  drag.to = atPicture(event);
  if (tool === "box" && Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > DRAG_PX) drag.moved = true;
  if (drag.moved) drawPen();
});
sheet.addEventListener("pointerup", (event) => {
  if (!drag) return;
  const { from, to, moved: boxed } = drag;
  drag = null;
  if (boxed) addMark({ box: boxOf(from, to) });
  else if (tool === "add" || tool === "box") addMark({ point: from, label: event.altKey ? 0 : 1 });
  else if (tool === "less") addMark({ point: from, label: 0 });
  else pick(from);
});
sheet.addEventListener("pointercancel", () => { drag = null; drawPen(); });

async function pick([x, y]) {
  const frame = shown?.frame, version = clip.version;
  if (frame === undefined || !clip.has_instances) return;
  try {
    const reply = await server.pick({ sid: clip.sid, key: clip.key, frame, x, y });
    if (version === clip?.version && reply && !reply.error) choose(reply.instance);
  } catch (error) { console.error(error); }
}

tools.addEventListener("click", (event) => { const button = event.target.closest("[data-tool]"); if (button) setTool(button.dataset.tool); });
bar.addEventListener("click", (event) => {
  const button = event.target.closest("[data-bar]");
  if (button) ({ undo: undoMark, drop: clearDraft, keep: () => commitDraft(false), track: () => commitDraft(true) })[button.dataset.bar]();
});
who.addEventListener("change", () => { draft.instance = who.value ? Number(who.value) : null; askMask(); });
root.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select, textarea, button")) return;
  const act = draft ? { Enter: () => commitDraft(false), Backspace: undoMark, Escape: clearDraft }[event.key] : event.key === "Escape" ? () => { setTool("select"); choose(null); } : null;
  if (!act) return;
  event.preventDefault();
  act();
});
// A card that is pressed selects its instance here; nothing answers back when it is the selected one already.
on("instance", ({ id }) => { if (clip) choose(id ?? null); });
