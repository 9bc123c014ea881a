// Second part of the timeline's js_on_load: the curves and their axes, drawn by Plotly.js between the layer of the events
// and the one that takes the pointer. The script comes from the installed package, once the page stands.
const plot = body.querySelector(".aw-tl-plot");
const ink = (name) => getComputedStyle(root).getPropertyValue(`--aw-${name}`).trim();
let painting = 0, painted = null;   // painted: the threshold that the curves were coloured by

function fetchPlotly() {
  const script = h("script", { src: root.dataset.plotly, async: true });
  script.addEventListener("load", draw);
  document.head.append(script);
}

const tickStep = (span, width) => {
  const wanted = (span / width) * 72;
  return [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].find((step) => step >= wanted) || 7200;
};
function ticks() {
  const step = tickStep(view[1] - view[0], inner().width), at = [];
  for (let t = Math.ceil(view[0] / step) * step; t <= view[1] + 1e-6; t += step) at.push(t);
  return { tickvals: at, ticktext: at.map((t) => clock(t, step < 1 ? 1 : 0)) };
}

// The points on show and one more on each side, so that lines run to the edge.
function onShow() {
  const times = data.time_s;
  const first = times.findIndex((t) => t >= view[0]), after = times.findIndex((t) => t > view[1]);
  const from = Math.max(0, (first < 0 ? times.length : first) - 1), to = after < 0 ? times.length : after + 1;
  return (values) => values.slice(from, to);
}

// Where the score is above the threshold, with the points at which it crosses.
function above(times, values, level) {
  const xs = [], ys = [];
  values.forEach((value, i) => {
    const before = values[i - 1];
    if (i && (before - level) * (value - level) < 0) {
      xs.push(times[i - 1] + ((level - before) / (value - before)) * (times[i] - times[i - 1]));
      ys.push(level);
    }
    xs.push(times[i]);
    ys.push(Math.max(value, level));
  });
  return [xs, ys];
}

function traces() {
  const cut = onShow(), times = cut(data.time_s);
  const line = (name, values, color, width, more = {}) =>
    ({ name, x: times, y: values, type: "scatter", mode: "lines", hoverinfo: "skip", line: { color, width }, ...more });
  const scored = data.score.length > 0, shape = cut(scored ? data.score : Object.values(data.parts)[0] ?? []);   // while it runs, motion is all there is
  const found = [line("area", shape, ink("blue"), 0, { fill: "tozeroy", fillcolor: ink("blue-soft") })];
  if (scored && threshold() !== null && times.length) {
    const [x, y] = above(times, shape, threshold());
    found.push(line("threshold", [threshold(), threshold()], ink("hot"), 0, { x: [x[0], x.at(-1)] }),
      line("above", y, ink("hot"), 0, { x, fill: "tonexty", fillcolor: ink("hot-fill") }));
  }
  for (const [name, values] of Object.entries(data.parts)) found.push(line(name, cut(values), ink(`part-${partColour(name) + 1}`), 1, { opacity: 0.75 }));
  if (scored) found.push(line("score", shape, ink("blue"), 1.8));
  return found;
}

function paintNow() {
  if (!data?.time_s.length || !size.width || !window.Plotly) { plot.hidden = true; return; }
  plot.hidden = false;
  painted = threshold();
  const axis = { zeroline: false, fixedrange: true, tickfont: { size: 10 } };
  window.Plotly.react(plot, traces(), {
    width: size.width, height: size.height, margin: { l: PAD.left, r: PAD.right, t: PAD.top, b: PAD.bottom, pad: 0 },
    paper_bgcolor: "transparent", plot_bgcolor: "transparent", showlegend: false, hovermode: false,
    font: { family: getComputedStyle(root).fontFamily, color: ink("muted") },
    xaxis: { ...axis, ...ticks(), range: view, showgrid: false, ticks: "outside", ticklen: 4, tickcolor: ink("muted") },
    yaxis: { ...axis, range: [0, 1], tickvals: [0, 0.5, 1], ticktext: ["0", "0.5", "1"], gridcolor: ink("grid") },
  }, { staticPlot: true, displayModeBar: false });
}
// At most once a picture, however often the threshold moves or the wheel turns.
function paint() {
  cancelAnimationFrame(painting);
  painting = requestAnimationFrame(paintNow);
}

(window.requestIdleCallback ?? setTimeout)(fetchPlotly);
new MutationObserver(paint).observe(document.body, { attributes: true, attributeFilter: ["class"] });   // light and dark
