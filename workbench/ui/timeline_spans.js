// Last part of the timeline's js_on_load: events as spans one can take hold of. An edge drags, the bar on top moves
// the event, the threshold's label drags the threshold; what is dragged is drawn at once and saved on release.
const GRIP = 6, BAR = 14, LABEL_WIDTH = 96;
let told = null, selected = null, drag = null, held = null;   // held: what was dropped, until the store has answered

const current = () => (told && data && told.key === data.key && told.analysed ? told : null);
const events = () => (current()?.events ?? data.events).map((event) => {
  const changed = [drag?.moved ? drag : null, held].find((item) => item && item.id !== undefined && item.id === event.id);
  return changed ? { ...event, start_s: changed.start_s, end_s: changed.end_s } : event;
});
const threshold = () => (drag?.kind === "threshold" ? drag.value : held?.value ?? current()?.threshold ?? data.threshold);

function drawSpans() {
  const group = svg("g", { class: "aw-spans", "clip-path": "url(#aw-tl-clip)" });
  data.truth.forEach((span) => group.append(svg("rect", { class: "aw-truth", x: x(span.start_s), width: Math.max(2, x(span.end_s) - x(span.start_s)), y: y(0) - 3, height: 3 },
    svg("title", { text: `Ground truth: ${span.category}` }))));
  for (const event of [...events()].sort((a, b) => (a.id === selected) - (b.id === selected))) {
    if (event.was) group.append(svg("rect", { class: "aw-span-was", x: x(event.was.start_s), width: Math.max(3, x(event.was.end_s) - x(event.was.start_s)), y: PAD.top + 1, height: inner().height - 2 },
      svg("title", { text: `The model said ${clock(event.was.start_s)} to ${clock(event.was.end_s)}` })));
    group.append(drawSpan(event));
  }
  return group;
}

function drawSpan(event) {
  const left = x(event.start_s), width = Math.max(3, x(event.end_s) - left);
  const says = `Event ${event.number ?? ""}${event.category ? `, ${event.category}` : ""}: ${clock(event.start_s, 1)} to ${clock(event.end_s, 1)}, peak ${event.peak_score.toFixed(2)}`;
  const kind = `aw-span${event.id !== undefined && event.id === selected ? " is-current" : ""}${event.changed ? " is-mine" : ""}`;
  const span = svg("g", { class: kind, "data-event": event.id, role: "button", "aria-label": says });
  span.append(svg("rect", { class: "aw-span-band", x: left, width, y: PAD.top - 3, height: inner().height + 3 }),
    svg("rect", { class: "aw-span-bar", x: left, width, y: PAD.top - 3, height: BAR, rx: 2 }));
  for (const at of [left, left + width]) span.append(svg("line", { class: "aw-span-edge", x1: at, x2: at, y1: PAD.top - 3, y2: PAD.top + inner().height }));
  return span;
}

// What an event is called, on its bar: drawn after the curve, which runs through the bar where the score is high.
function drawNames() {
  const group = svg("g", { class: "aw-names", "clip-path": "url(#aw-tl-clip)" });
  for (const event of events()) {
    const left = x(event.start_s), room = Math.floor((x(event.end_s) - left - 8) / 6.2);
    const label = (event.verdict ? "✓ " : event.changed ? "✎ " : "") + (event.category || "anomaly");
    if (room >= 3) group.append(svg("text", { class: event.changed ? "is-mine" : "", x: left + 5, y: PAD.top + 8, text: label.length > room ? `${label.slice(0, room - 1)}…` : label }));
  }
  return group;
}

function drawPeaks() {
  const group = svg("g", { class: "aw-peaks" }), taken = [];
  // Where peaks would lie on top of each other, the selected and the highest ones are drawn; zoom shows the others.
  const order = (event) => (event.id !== undefined && event.id === selected ? 2 : event.peak_score);
  [...events().entries()].sort(([, a], [, b]) => order(b) - order(a)).forEach(([i, event]) => {
    if (event.peak_s < view[0] || event.peak_s > view[1] || taken.some((px) => Math.abs(px - x(event.peak_s)) < 10)) return;
    taken.push(x(event.peak_s));
    const node = svg("circle", { class: `aw-peak${event.changed ? " is-mine" : ""}`, cx: x(event.peak_s), cy: Math.max(PAD.top + BAR, y(event.peak_score)), r: 4.5, role: "button", "aria-label": `Peak of event ${event.number ?? i + 1}` });
    node.addEventListener("pointerdown", (press) => { press.stopPropagation(); root.focus({ preventScroll: true }); if (event.id !== undefined) emit("select", { id: event.id }); emit("seek", { frame: event.peak_frame }); });
    group.append(node);
  });
  return group;
}

function drawThreshold() {
  if (threshold() === null) return svg("g", { class: "aw-threshold" });
  const at = y(threshold()), right = size.width - PAD.right;
  const moved = Math.abs(threshold() - data.threshold) > 1e-4;
  return svg("g", { class: `aw-threshold${current() ? " is-live" : ""}${moved ? " is-mine" : ""}` },
    svg("line", { x1: PAD.left, x2: right, y1: at, y2: at }),
    svg("rect", { class: "aw-threshold-grip", x: right - LABEL_WIDTH, width: LABEL_WIDTH, y: at - 8, height: 16, rx: 3 }),
    svg("text", { x: right - 6, y: at + 3.5, "text-anchor": "end", text: `threshold ${threshold().toFixed(2)} ↕` }));
}

function redraw() {
  for (const [place, make] of [[".aw-spans", drawSpans], [".aw-names", drawNames], [".aw-threshold", drawThreshold], [".aw-cited", drawCited], [".aw-peaks", drawPeaks], [".aw-strip", drawStrip]]) body.querySelector(place)?.replaceWith(make());
  movePlayhead();
  if (threshold() !== painted) paint();
}

// What lies under the pointer: an edge before a bar, the selected event before others, nothing before everything is saved.
function grip(px, py) {
  if (!data || !current()) return null;
  const right = size.width - PAD.right;
  if (threshold() !== null && px > right - LABEL_WIDTH && px < right + 4 && Math.abs(py - y(threshold())) <= 8) return { kind: "threshold", value: threshold(), from: threshold() };
  if (py < PAD.top - 5 || py > y(0) + 2) return null;
  const near = [];
  for (const event of events()) {
    const first = event.id === selected ? -GRIP : 0, [left, end] = [x(event.start_s), x(event.end_s)];
    const span = { id: event.id, start_s: event.start_s, end_s: event.end_s, was: [event.start_s, event.end_s] };
    const thin = end - left < 3 * GRIP;   // of a thin span only the outer side of an edge is the edge
    if (px >= left - GRIP && px <= left + (thin ? 0 : GRIP)) near.push({ far: Math.abs(px - left) + first, kind: "start", ...span });
    if (px <= end + GRIP && px >= end - (thin ? 0 : GRIP)) near.push({ far: Math.abs(px - end) + first, kind: "end", ...span });
    if (py <= PAD.top - 3 + BAR && px > left && px < end) near.push({ far: GRIP + 1 + first, kind: "move", ...span });
  }
  return near.sort((a, b) => a.far - b.far)[0] ?? null;
}
const CURSORS = { start: "ew-resize", end: "ew-resize", move: "grab", threshold: "ns-resize" };

function follow(px, py) {
  if (drag.kind === "threshold") {
    drag.value = Math.min(0.99, Math.max(0.01, 1 - (py - PAD.top) / inner().height));
    readout.textContent = `threshold ${drag.value.toFixed(2)}`;
  } else {
    const least = 1 / Math.max(1, data.fps), by = ((px - drag.px) / inner().width) * (view[1] - view[0]), [start, end] = drag.was;
    if (drag.kind === "start") drag.start_s = Math.max(0, Math.min(start + by, end - least));
    if (drag.kind === "end") drag.end_s = Math.min(data.duration_s, Math.max(end + by, start + least));
    if (drag.kind === "move") {
      const shift = Math.min(data.duration_s - end, Math.max(-start, by));
      [drag.start_s, drag.end_s] = [start + shift, end + shift];
    }
    readout.textContent = `${clock(drag.start_s)} – ${clock(drag.end_s)} · ${(drag.end_s - drag.start_s).toFixed(2)} s`;
    emit("seek", { t: drag.kind === "end" ? Math.max(drag.start_s, drag.end_s - least) : drag.start_s });   // the picture shows the edge in hand
  }
  redraw();
}
function drop(keep) {
  const done = drag;
  drag = null;
  canvas.style.cursor = "";
  if (done && done.moved && keep) {
    held = done.kind === "threshold" ? { value: done.value } : { id: done.id, start_s: done.start_s, end_s: done.end_s };
    emit("edit", done.kind === "threshold" ? { op: "threshold", value: done.value } : { op: "move", id: done.id, ...(done.kind === "end" ? {} : { start_s: done.start_s }), ...(done.kind === "start" ? {} : { end_s: done.end_s }) });
  }
  redraw();
  return done;
}
const at = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };

canvas.addEventListener("pointerdown", (event) => {
  if (!data || event.button !== 0) return;
  root.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  const [px, py] = at(event);
  if (takeStrip(px, py)) return;
  const found = grip(px, py);
  if (found) { drag = { ...found, px, py, moved: false }; if (found.id !== undefined) emit("select", { id: found.id }); return; }
  dragging = true;
  emit("seek", { t: timeAt(px) });
});
canvas.addEventListener("pointermove", (event) => {
  const [px, py] = at(event);
  if (panning !== null) { slide(px); return; }
  if (drag) {
    drag.moved ||= Math.abs(px - drag.px) > 2 || Math.abs(py - drag.py) > (drag.kind === "threshold" ? 2 : 1e6);
    if (drag.moved) follow(px, py);
    return;
  }
  hover(px);
  if (dragging) emit("seek", { t: timeAt(px) });
  else canvas.style.cursor = CURSORS[grip(px, py)?.kind] ?? "";
});
canvas.addEventListener("pointerup", (event) => {
  dragging = false;
  panning = null;
  if (!drag) return;
  const done = drop(true);
  if (done.moved || done.kind === "threshold") return;
  if (done.kind !== "move") { emit("seek", { t: timeAt(at(event)[0]) }); return; }   // a click near an edge is still a click
  const chosen = events().find((item) => item.id === done.id);
  if (chosen) emit("seek", { frame: chosen.peak_frame });
});
canvas.addEventListener("pointercancel", () => { dragging = false; panning = null; drop(false); });
canvas.addEventListener("pointerleave", leave);
root.addEventListener("keydown", (event) => { if (event.key === "Escape" && drag) drop(false); });
canvas.addEventListener("dblclick", (event) => {
  if (!data) return;
  if (grip(...at(event))?.kind === "threshold") { emit("edit", { op: "threshold", value: null }); return; }   // back to the calibrated one
  setView(0, data.duration_s);
});

on("events", (value) => { told = value; held = null; if (data) redraw(); });
on("select", ({ id }) => { selected = id; if (data) redraw(); });
new ResizeObserver(draw).observe(body);
watch("value", load);
load();
