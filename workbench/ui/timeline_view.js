// Third part of the timeline's js_on_load: which stretch of the clip is on show. Zoom, pan, and a strip below the axis
// that is the whole clip; the view goes along when the playhead leaves it. Also the span that a piece of evidence names.
const STRIP = 12;
let cited = null, panning = null;   // panning: where on the strip the stretch was taken hold of, in seconds from its start

const whole = () => !data || view[1] - view[0] > data.duration_s - 1e-6;
const inView = (t) => t > view[0] - 1e-6 && t < view[1] + 1e-6;
const alongStrip = (t) => PAD.left + (t / data.duration_s) * inner().width;
const onStrip = (px) => ((px - PAD.left) / inner().width) * data.duration_s;

function tellView() {
  root.dataset.view = data ? view.map((t) => t.toFixed(3)).join(" ") : "";
  root.classList.toggle("is-zoomed", !whole());
  for (const button of root.querySelectorAll("[data-zoom=out],[data-zoom=all]")) button.disabled = whole();
}
function setView(start, wanted) {
  const least = Math.min(data.duration_s, 8 / Math.max(1, data.fps));
  const span = Math.min(data.duration_s, Math.max(least, wanted));
  const from = Math.min(data.duration_s - span, Math.max(0, start));
  view = [from, from + span];
  tellView();
  draw();
}
function zoom(factor, centre) {
  const span = view[1] - view[0];
  setView(centre - ((centre - view[0]) / span) * span * factor, span * factor);
}
function zoomTo(start, end) {
  const margin = Math.max(0.3, (end - start) * 0.25), from = Math.max(0, start - margin);
  setView(from, Math.min(data.duration_s, end + margin) - from);
}

// A playhead that leaves the view takes it along: a page further by steps and in play, into the middle by a jump. Whoever
// has panned away from a clip that plays is left there.
function keepInSight(t, playing) {
  if (whole() || inView(t) || drag || dragging || panning !== null || (playing && !inView(playhead))) return;
  const span = view[1] - view[0], near = Math.abs(t - playhead) < span / 2;
  setView(t - span * (near ? (t > view[1] ? 0.1 : 0.9) : 0.5), span);
}

function drawStrip() {
  const group = svg("g", { class: "aw-strip" }), top = size.height - 8;
  if (whole()) return group;
  group.append(svg("rect", { class: "aw-strip-all", x: PAD.left, width: inner().width, y: top, height: 5, rx: 2.5 }));
  for (const event of events()) group.append(svg("rect", { class: event.changed ? "aw-strip-event is-mine" : "aw-strip-event", x: alongStrip(event.start_s), width: Math.max(2, alongStrip(event.end_s) - alongStrip(event.start_s)), y: top + 1, height: 3 }));
  group.append(svg("rect", { class: "aw-strip-view", x: alongStrip(view[0]), width: Math.max(6, alongStrip(view[1]) - alongStrip(view[0])), y: top - 2, height: 9, rx: 3 }),
    svg("line", { class: "aw-strip-here", y1: top - 2, y2: top + 7 }));
  return group;
}
// A press on the strip takes hold of the stretch on show; beside it, the stretch comes to the pointer first.
function takeStrip(px, py) {
  if (!data || whole() || py < size.height - STRIP) return false;
  const t = onStrip(px), span = view[1] - view[0];
  if (!inView(t)) setView(t - span / 2, span);
  panning = t - view[0];
  return true;
}
const slide = (px) => setView(onStrip(px) - panning, view[1] - view[0]);

function drawCited() {
  const group = svg("g", { class: "aw-cited", "clip-path": "url(#aw-tl-clip)" });
  if (cited) group.append(svg("rect", { x: x(cited[0]), width: Math.max(3, x(cited[1]) - x(cited[0])), y: PAD.top - 3, height: inner().height + 3, rx: 2 },
    svg("title", { text: `Evidence: ${clock(cited[0], 1)} to ${clock(cited[1], 1)}` })));
  return group;
}
on("seek", ({ t, until }) => {
  const next = t !== undefined && until !== undefined ? [t, until] : null;
  if (!next && !cited) return;
  cited = next;
  if (data) redraw();
});

canvas.addEventListener("wheel", (event) => {
  if (!data) return;
  const by = (event.deltaY || event.deltaX) * (event.deltaMode ? 24 : 1), span = view[1] - view[0];
  if (event.ctrlKey || event.metaKey) zoom(Math.exp(by / 450), timeAt(at(event)[0]));
  else if (!whole()) setView(view[0] + (by / inner().width) * span, span);
  else return;   // the wheel scrolls the page
  event.preventDefault();
}, { passive: false });

root.querySelector(".aw-tl-zoom").addEventListener("click", (event) => {
  const button = event.target.closest("[data-zoom]");
  if (button) emit("command", { zoom: button.dataset.zoom });
});
on("command", ({ zoom: wanted }) => {
  if (!data || !wanted) return;
  const event = events().find((item) => item.id === selected) || events()[0];
  if (wanted === "in" || wanted === "out") zoom(wanted === "in" ? 0.5 : 2, inView(playhead) ? playhead : (view[0] + view[1]) / 2);
  else if (wanted === "event" && event) zoomTo(event.start_s, event.end_s);
  else setView(0, data.duration_s);
});
