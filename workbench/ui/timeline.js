// Body of the timeline's js_on_load: axes, curves, playhead. timeline_view.js and timeline_spans.js go on in the same scope.
const { h, svg, clock, emit, on } = window.aw;
const root = element.querySelector(".aw-tl");
const body = root.querySelector(".aw-tl-body");
const canvas = body.querySelector("svg");
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

const line = (values) => values.map((v, i) => `${i ? "L" : "M"}${x(data.time_s[i]).toFixed(1)} ${y(v).toFixed(1)}`).join("");
const tickStep = (span, width) => {
  const wanted = (span / width) * 72;
  return [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].find((step) => step >= wanted) || 7200;
};

const partColour = (name) => Math.max(0, Object.keys(PART_NAMES).indexOf(name)) % 3;

function drawAxis() {
  const group = svg("g", { class: "aw-axis" });
  for (const level of [0, 0.5, 1]) {
    group.append(svg("line", { x1: PAD.left, x2: size.width - PAD.right, y1: y(level), y2: y(level) }),
      svg("text", { x: PAD.left - 6, y: y(level) + 3.5, "text-anchor": "end", text: level === 0.5 ? "0.5" : String(level) }));
  }
  const step = tickStep(view[1] - view[0], inner().width);
  for (let t = Math.ceil(view[0] / step) * step; t <= view[1] + 1e-6; t += step) {
    group.append(svg("line", { class: "aw-tick", x1: x(t), x2: x(t), y1: y(0), y2: y(0) + 4 }),
      svg("text", { x: Math.min(x(t), size.width - 20), y: y(0) + 15, "text-anchor": "middle", text: clock(t, step < 1 ? 1 : 0) }));
  }
  return group;
}

function drawCurves() {
  const group = svg("g", { "clip-path": "url(#aw-tl-clip)" });
  if (!data.time_s.length) return group;
  const shape = data.score.length ? data.score : Object.values(data.parts)[0];   // while it runs, motion is all there is
  const area = `${line(shape)}L${x(data.time_s.at(-1)).toFixed(1)} ${y(0)}L${x(data.time_s[0]).toFixed(1)} ${y(0)}Z`;
  group.append(svg("path", { class: "aw-area", d: area }));
  if (threshold() !== null) group.append(svg("path", { class: "aw-area-hot", d: area, "clip-path": "url(#aw-tl-hot)" }));
  for (const [name, values] of Object.entries(data.parts)) group.append(svg("path", { class: `aw-part aw-part-${partColour(name)}`, d: line(values) }));
  if (data.score.length) group.append(svg("path", { class: "aw-curve", d: line(data.score) }));
  return group;
}

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
  canvas.replaceChildren();
  if (!data || !size.width) return;
  canvas.setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
  const hot = threshold() === null ? 0 : y(threshold()) - PAD.top;
  canvas.append(
    svg("defs", {},
      svg("clipPath", { id: "aw-tl-clip" }, svg("rect", { x: PAD.left, y: 0, width: inner().width, height: size.height })),
      svg("clipPath", { id: "aw-tl-hot" }, svg("rect", { x: PAD.left, y: PAD.top, width: inner().width, height: Math.max(0, hot) }))),
    drawAxis(), drawSpans(), drawCited(), drawCurves(), drawNames(), drawThreshold(), drawMarks(), drawPeaks(), drawStrip(),
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
