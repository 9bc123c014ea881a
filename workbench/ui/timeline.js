// Body of the timeline's js_on_load: marks, playhead, what the pointer reads. timeline_plot.js, timeline_view.js and
// timeline_spans.js go on in the same scope.
const { h, svg, clock, emit, on } = window.aw;
const root = element.querySelector(".aw-tl");
const body = root.querySelector(".aw-tl-body");
const under = body.querySelector(".aw-tl-under"), canvas = body.querySelector("svg[role=img]");
const tip = body.querySelector(".aw-tip");
const readout = root.querySelector(".aw-tl-read");
const PART_NAMES = { scorer: "network", motion: "motion", heatmap: "heatmap" };
const PAD = { left: 34, right: 12, top: 26, bottom: 28 };
let data = null, view = [0, 1], playhead = 0, dragging = false;
let size = { width: 0, height: 0 };

const inner = () => ({ width: Math.max(1, size.width - PAD.left - PAD.right), height: Math.max(1, size.height - PAD.top - PAD.bottom) });
const x = (t) => PAD.left + ((t - view[0]) / (view[1] - view[0])) * inner().width;
const y = (score) => PAD.top + (1 - score) * inner().height;
const timeAt = (px) => Math.min(data.duration_s, Math.max(0, view[0] + ((px - PAD.left) / inner().width) * (view[1] - view[0])));
const scoreAt = (t) => {
  const times = data.time_s;
  if (!data.score.length) return null;
  let low = 0, high = times.length - 1;
  while (low < high) { const middle = (low + high) >> 1; if (times[middle] < t) low = middle + 1; else high = middle; }
  if (low === 0 || times[low] <= t) return data.score[low];
  const span = times[low] - times[low - 1] || 1;
  return data.score[low - 1] + ((t - times[low - 1]) / span) * (data.score[low] - data.score[low - 1]);
};

const partColour = (name) => Math.max(0, Object.keys(PART_NAMES).indexOf(name)) % 3;

function drawMarks() {
  const group = svg("g", { class: "aw-marks" });
  const visible = (t) => t >= view[0] && t <= view[1];
  data.uniform.filter((mark) => visible(mark.t)).forEach((mark) =>
    group.append(svg("line", { class: "aw-uniform", x1: x(mark.t), x2: x(mark.t), y1: 5, y2: 17 })));
  data.sampled.filter((mark) => visible(mark.t)).forEach((mark) => {
    const cx = x(mark.t);
    const node = svg("path", { class: "aw-sample", d: `M${cx} 4l5 7l-5 7l-5 -7Z`, role: "button", "data-mark": mark.frame, "aria-label": `Sampled frame ${mark.frame}` });
    node.addEventListener("pointerdown", (event) => { event.stopPropagation(); root.focus({ preventScroll: true }); emit("seek", { frame: mark.frame }); });
    node.addEventListener("pointerenter", () => showMark(mark));
    node.addEventListener("pointerleave", hideTip);
    group.append(node);
  });
  return group;
}

function draw() {
  size = { width: body.clientWidth, height: body.clientHeight };
  root.classList.toggle("is-empty", !data);
  under.replaceChildren();
  canvas.replaceChildren();
  paint();
  if (!data || !size.width) return;
  for (const layer of [under, canvas]) layer.setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
  under.append(drawSpans(), drawCited());
  canvas.append(
    svg("defs", {}, svg("clipPath", { id: "aw-tl-clip" }, svg("rect", { x: PAD.left, y: 0, width: inner().width, height: size.height }))),
    drawNames(), drawThreshold(), drawMarks(), drawPeaks(), drawStrip(),
    svg("line", { class: "aw-hover", y1: PAD.top, y2: size.height - PAD.bottom, visibility: "hidden" }),
    svg("g", { class: "aw-playhead" },
      svg("line", { y1: PAD.top - 4, y2: size.height - PAD.bottom }),
      svg("path", { d: `M-5 ${PAD.top - 9}h10v5l-5 5l-5 -5Z` })));
  movePlayhead();
}

function movePlayhead() {
  const node = canvas.querySelector(".aw-playhead");
  if (!node) return;
  node.setAttribute("transform", `translate(${x(playhead)} 0)`);
  node.setAttribute("visibility", playhead < view[0] - 1e-6 || playhead > view[1] + 1e-6 ? "hidden" : "visible");
  canvas.querySelector(".aw-strip-here")?.setAttribute("transform", `translate(${alongStrip(playhead)} 0)`);
}

function placeTip(px) {
  tip.hidden = false;
  const half = tip.offsetWidth / 2;
  tip.style.left = `${Math.min(size.width - half - 4, Math.max(half + 4, px))}px`;
}

async function showMark(mark) {
  tip.replaceChildren(h("img", { alt: "", width: 160 }), h("span", { text: `frame ${mark.frame} · ${clock(mark.t)}` }));
  placeTip(x(mark.t));
  const image = tip.querySelector("img");
  const source = await window.aw.thumbnail(server, data.sid, data.key, mark.frame);
  if (source && image.isConnected) image.src = source;
}
function hideTip() { tip.hidden = true; }

function hover(px) {
  const node = canvas.querySelector(".aw-hover");
  if (!data || !node || px < PAD.left || px > size.width - PAD.right) return leave();
  const t = timeAt(px), score = scoreAt(t);
  node.setAttribute("x1", px); node.setAttribute("x2", px); node.setAttribute("visibility", "visible");
  readout.textContent = `${clock(t)}${score === null ? "" : ` · score ${score.toFixed(2)}`}`;
}
function leave() {
  canvas.querySelector(".aw-hover")?.setAttribute("visibility", "hidden");
  readout.textContent = "";
}

on("moved", ({ t, frame, playing }) => {
  if (data) keepInSight(t, playing);
  playhead = t;
  root.dataset.frame = frame;
  if (data) movePlayhead();
});
function load() {
  const next = window.aw.parse(props.value);
  if (!next || next.key !== data?.key) { view = [0, next?.duration_s || 1]; playhead = 0; cited = null; }
  data = next;
  root.dataset.points = data ? data.score.length : 0;
  root.querySelector(".aw-parts").replaceChildren(...Object.keys(data?.parts || {}).map((name) =>
    h("span", { class: `aw-key aw-key-part-${partColour(name)}`, text: PART_NAMES[name] || name })));
  root.querySelector("[data-legend=truth]").hidden = !data?.truth.length;
  tellView();
  draw();
}
