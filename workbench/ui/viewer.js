// First part of the viewer's js_on_load; playing and prompting follow in files of their own. It owns the position in
// the clip: it answers `seek` and `command`, and says `moved`.
const { h, svg, clock, emit, on } = window.aw;
const root = element.querySelector(".aw-viewer");
const find = (selector) => root.querySelector(selector);
const stage = find(".aw-stage"), sheet = find(".aw-sheet");
const base = find(".aw-base"), heat = find(".aw-heat"), masks = find(".aw-masks"), boxes = find(".aw-boxes"), screen = find(".aw-play");
const layers = { heat: true, masks: true, boxes: true, labels: true };
const cache = new Map();
const CACHED = 90;
let clip = null, shown = null, wanted = null, goal = null, target = null, busy = false, moved = false, selected = null, playing = false, until = null, rate = 1;
let looping = false, film = null;   // film: what is drawn over a playing picture, fetched once per version of the overlays

const player = () => document.querySelector("#aw-video video");
const pixels = () => [480, 640, 960, 1280, 1920].find((w) => w >= stage.clientWidth * Math.min(2, devicePixelRatio)) || 1920;

function fit() {
  root.classList.toggle("is-narrow", root.clientWidth < 880);
  if (!clip) return;
  const scale = Math.min(stage.clientWidth / clip.width, stage.clientHeight / clip.height);
  sheet.style.width = `${Math.floor(clip.width * scale)}px`;
  sheet.style.height = `${Math.floor(clip.height * scale)}px`;
}

async function fetchFrame(request) {
  const known = request.frame === undefined ? null : cache.get(request.frame);
  if (known) { cache.delete(known.frame); cache.set(known.frame, known); return known; }
  const key = clip.version;
  const reply = await server.frame({ sid: clip.sid, key: clip.key, width: pixels(), ...request });
  if (reply && !reply.error && key === clip?.version) {
    cache.set(reply.frame, reply);
    while (cache.size > CACHED) cache.delete(cache.keys().next().value);
  }
  return reply;
}

// Only the newest wish counts: while one frame is on its way, later wishes replace each other.
async function seek(request) {
  wanted = goal = request;   // goal: until it is shown; the page may be told something new meanwhile
  target = request.frame ?? null;
  if (busy) return;
  busy = true;
  try {
    while (wanted && clip) {
      const next = wanted, version = clip.version;
      wanted = null;
      const reply = await fetchFrame(next);
      if (!reply || version !== clip?.version) continue;
      if (reply.error) note(reply.error); else await show(reply);
      if (goal === next) goal = null;
    }
  } catch (error) { note("This frame could not be fetched; is the server still running?"); console.error(error); }
  busy = false;
  prefetch();
}

async function show(reply) {
  note("");
  base.src = reply.image;
  try { await base.decode(); } catch { return note(`Frame ${reply.frame} could not be shown.`); }
  shown = reply;
  root.dataset.frame = reply.frame;
  root.dataset.version = clip.version;
  if (!playing) stage.classList.remove("is-playing");
  overlays();
  drawPen();
  if (!playing) syncPlayer(reply.time_s);
  told(reply.frame, reply.time_s, reply.score);
}

function told(frame, t, score) {
  find(".aw-count").textContent = `${frame} / ${clip.n_frames - 1}`;
  find(".aw-time").textContent = clock(t, 3);
  find(".aw-score").textContent = score === null || score === undefined ? "" : score.toFixed(2);
  find(".aw-score").classList.toggle("is-hot", score !== null && clip.threshold !== null && score >= clip.threshold);
  emit("moved", { frame, t, playing });
}

function overlays() {
  heat.hidden = !(layers.heat && shown?.heat);
  if (shown?.heat) heat.src = shown.heat;
  masks.hidden = !(layers.masks && shown?.masks);
  if (shown?.masks) masks.src = shown.masks;
  boxes.replaceChildren();
  if (!shown) return;
  boxes.setAttribute("viewBox", `0 0 ${clip.width} ${clip.height}`);
  const unit = clip.width / Math.max(1, sheet.clientWidth);
  const chips = layers.labels ? placeLabels(shown.instances, unit) : [], tags = [];
  for (const [i, item] of shown.instances.entries()) {
    const [x0, y0, x1, y1] = item.box;
    const group = svg("g", { class: item.id === selected ? "is-current" : null, style: `--role:${item.colour}` });
    if (layers.boxes) group.append(svg("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, "stroke-width": (item.id === selected ? 3 : 1.75) * unit }));
    if (layers.labels) {
      const { x, y, width, height } = chips[i], tag = svg("g", { style: `--role:${item.colour}` });
      tag.append(svg("rect", { class: "aw-tag", x, y, width, height }),
        svg("text", { x: x + 4 * unit, y: y + 12.5 * unit, "font-size": 12 * unit, text: item.label }));
      tags.push(tag);
    }
    boxes.append(group);
  }
  boxes.append(...tags);   // over all boxes
}

function prefetch() {
  if (!shown || playing || !clip) return;
  const next = shown.frame + 1;
  if (next < clip.n_frames && !cache.has(next)) setTimeout(() => { if (!busy && !playing && clip) fetchFrame({ frame: next }).catch(() => {}); }, 60);
}

function syncPlayer(t) {
  const video = player();
  if (video && video.readyState > 0 && Math.abs(video.currentTime - t) > 0.02) video.currentTime = t;
}

function note(text) { const node = find(".aw-note"); node.textContent = text; node.hidden = !text; }

function go(frame) { moved = true; halt(); seek({ frame: Math.min(clip.n_frames - 1, Math.max(0, frame)) }); }
const here = () => (target ?? shown?.frame ?? 0);   // a step counts from where the last one leads, shown yet or not
const dense = (direction) => {
  const stride = Math.max(1, clip.stride);
  return direction > 0 ? (Math.floor(here() / stride) + 1) * stride : (Math.ceil(here() / stride) - 1) * stride;
};

function toggle(name, value) {
  layers[name] = value ?? !layers[name];
  find(`[data-layer=${name}]`).setAttribute("aria-pressed", String(layers[name]));
  overlays();
}

on("seek", ({ t, frame, instance }) => {
  if (!clip) return;
  moved = true;
  if (instance !== undefined) choose(instance);
  halt();
  seek(frame === undefined ? { t } : { frame });
});
on("command", (command) => {
  if (!clip) return;
  if (command.step) go(here() + command.step);
  else if (command.stride) go(dense(command.stride));
  else if (command.edge) go(command.edge < 0 ? 0 : clip.n_frames - 1);
  else if (command.play) { moved = true; playing ? pause() : play(); }
  else if (command.loop) loop();
  else if (command.layer) toggle(command.layer);
  else if (command.tool) setTool(command.tool);
  else if (command.track) commitDraft(true);
});

root.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) { root.focus({ preventScroll: true }); return; }
  if (button.dataset.layer) toggle(button.dataset.layer);
  else if (button.dataset.do) emit("command", { step: { step: Number(button.dataset.by) }, stride: { stride: Number(button.dataset.by) },
    event: { event: Number(button.dataset.by) }, play: { play: true }, loop: { loop: true }, help: { help: true } }[button.dataset.do]);
});
find(".aw-opacity").addEventListener("input", (event) => { heat.style.opacity = event.target.value / 100; });
find(".aw-rate").addEventListener("change", (event) => { rate = Number(event.target.value); const video = player(); if (video) video.playbackRate = rate; });

function load() {
  const next = window.aw.parse(props.value);
  const fresh = !next || next.key !== clip?.key;
  if (next?.version !== clip?.version) cache.clear();
  if (next?.version !== clip?.version) clearDraft();
  if (fresh) { moved = false; shown = goal = null; selected = null; film = null; if (looping) loop(false); halt(); stage.classList.remove("is-playing"); boxes.replaceChildren(); heat.hidden = masks.hidden = true; delete root.dataset.frame; delete root.dataset.version; note(""); }
  clip = next;
  root.classList.toggle("is-empty", !clip);
  tools.hidden = !clip?.can_prompt;
  if (!clip) return;
  for (const node of root.querySelectorAll("[data-needs]")) node.disabled = !clip[node.dataset.needs];
  fit();
  if (clip.select !== null && clip.select !== undefined) choose(clip.select);
  if (selected !== null && !clip.instances.some((item) => item.id === selected)) choose(null);
  seek(moved ? goal ?? { frame: shown?.frame ?? clip.start_frame } : { frame: clip.start_frame });
}
