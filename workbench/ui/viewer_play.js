// Second part of the viewer's js_on_load: playing, the loop around an event, and what is drawn over a moving picture.
// Playing shows the browser's own decoding for smoothness; a pause puts the exact decoded frame back.
function play(end = null) {
  const video = player();
  if (!clip) return;
  if (!video) return note("The copy that a browser can play is still being made; stepping by frame works.");
  until = end;
  wanting = true;
  video.playbackRate = rate;
  fetchFilm();
  video.play().catch(() => note("The browser cannot play this file; stepping by frame still works."));
}
function pause() { const video = player(); wanting = false; if (video) video.pause(); }
// Stop for another place or clip, without the exact frame of this one. What the player says of its pause comes later, or
// never where it is gone with its clip.
function halt() {
  if (!playing) return;
  playing = false;
  until = null;
  playButton();
  pause();
}
// Back to the start of the loop. An event that ends with the clip pauses the player, which nobody has asked for.
let jumped = -Infinity, wanting = false;
function again(video) {
  jumped = performance.now();
  video.currentTime = eventSpan(video.currentTime)?.start_s ?? 0;
  setTimeout(() => { if (looping && wanting && video.paused) video.play().catch(() => {}); }, 0);
}
function tick() {
  const video = player();
  if (!playing || !video || !clip) return;
  const frame = Math.min(clip.n_frames - 1, frameAt(video.currentTime));
  if (video.videoWidth) {
    if (screen.width !== video.videoWidth) { screen.width = video.videoWidth; screen.height = video.videoHeight; }
    screen.getContext("2d").drawImage(video, 0, 0, screen.width, screen.height);
    paintFilm(frame);
    stage.classList.add("is-playing");
  }
  told(frame, video.currentTime, null);
  const span = looping ? eventSpan(video.currentTime) : null;
  if (span && video.currentTime >= Math.min(span.end_s, video.duration || span.end_s) - 0.04 * rate) again(video);
  else if (until !== null && video.currentTime >= until) { until = null; video.pause(); }
  requestAnimationFrame(tick);
}

// The event to loop: the selected one, else the one a time lies in (a little after its end too), else the next one.
let listed = [], listedId = null;
on("events", (value) => { listed = value.events ?? []; });
on("select", ({ id }) => { listedId = id; });
function eventSpan(t) {
  const spans = listed.filter((event) => event.end_s > event.start_s);
  return spans.find((e) => e.id === listedId) ?? spans.find((e) => t >= e.start_s - 0.05 && t <= e.end_s + 0.25) ?? spans.find((e) => e.start_s > t) ?? spans.at(-1) ?? null;
}
function loop(value = !looping) {
  looping = value;
  find(".aw-loop").setAttribute("aria-pressed", String(looping));
  const video = player(), span = looping && video && eventSpan(playing ? video.currentTime : shown?.time_s ?? 0);
  if (!looping || !video) return;
  if (!span) { looping = false; find(".aw-loop").setAttribute("aria-pressed", "false"); return note("There is no event to play in a loop."); }
  if (video.currentTime < span.start_s || video.currentTime > span.end_s) video.currentTime = span.start_s;
  moved = true;
  if (!playing) play();
}

// Outlines, boxes and heat of the whole clip (and its clock where that is uneven), small enough to be drawn while it plays.
async function fetchFilm() {
  if (!clip?.has_film || film?.version === clip.version) return;
  const version = clip.version;
  film = { version, tracks: [], heat: null };
  try {
    const reply = await server.film_of({ sid: clip.sid, key: clip.key });
    if (!reply || reply.error || film.version !== version) return;
    const sheetOf = reply.heat ? Object.assign(new Image(), { src: reply.heat.image }) : null;
    film = { version, ...reply, picture: sheetOf };
  } catch (error) { film = null; console.error(error); }
}
// The frame on screen at a time: the last one that has come.
const frameAt = (t) => {
  if (!film?.times) return Math.floor(t * clip.fps + 0.01);
  const i = nearest(film.times, t);
  return film.times[i] > t + 5e-4 ? Math.max(0, i - 1) : i;
};
const nearest = (frames, frame) => {
  let low = 0, high = frames.length - 1;
  while (low < high) { const middle = (low + high) >> 1; if (frames[middle] < frame) low = middle + 1; else high = middle; }
  return low > 0 && frame - frames[low - 1] < frames[low] - frame ? low - 1 : low;
};
function paintFilm(frame) {
  if (!film) return;
  const pen = screen.getContext("2d"), scale = screen.width / clip.width;
  if (layers.heat && film.heat && film.picture?.complete) {
    const { frames, columns, width, height } = film.heat, i = nearest(frames, frame);
    pen.save();
    pen.globalAlpha = find(".aw-opacity").value / 100;
    pen.globalCompositeOperation = "screen";
    pen.drawImage(film.picture, (i % columns) * width, Math.floor(i / columns) * height, width, height, 0, 0, screen.width, screen.height);
    pen.restore();
  }
  pen.save();
  pen.scale(scale, screen.height / clip.height);
  const seen = film.tracks.map((track) => ({ track, i: nearest(track.frames, frame) }))
    .filter(({ track, i }) => track.frames.length && Math.abs(track.frames[i] - frame) <= clip.hold);
  for (const { track, i } of seen) paintTrack(pen, track, i, 1 / scale);
  if (layers.labels) paintLabels(pen, seen.filter(({ track, i }) => track.boxes[i]).map(({ track, i }) => ({ ...track, box: track.boxes[i] })), 1 / scale);
  pen.restore();
}
function paintTrack(pen, track, i, unit) {
  pen.strokeStyle = pen.fillStyle = track.colour;
  pen.lineWidth = (track.id === selected ? 3 : 1.75) * unit;
  if (layers.masks && track.outlines[i]) {
    pen.beginPath();
    for (const line of track.outlines[i]) {
      for (let k = 0; k < line.length; k += 2) k ? pen.lineTo(line[k], line[k + 1]) : pen.moveTo(line[k], line[k + 1]);
      pen.closePath();
    }
    pen.globalAlpha = 0.38; pen.fill("evenodd"); pen.globalAlpha = 1; pen.stroke();
  }
  const box = track.boxes[i];
  if (!box) return;
  if (layers.boxes) pen.strokeRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
}
function paintLabels(pen, items, unit) {
  pen.font = `600 ${12 * unit}px ${getComputedStyle(root).fontFamily}`;
  for (const [i, { x, y, width, height }] of placeLabels(items, unit).entries()) {
    pen.fillStyle = items[i].colour;
    pen.fillRect(x, y, width, height);
    pen.fillStyle = "#101418";
    pen.fillText(items[i].label, x + 4 * unit, y + 12.5 * unit);
  }
}
document.addEventListener("play", (event) => {
  if (event.target !== player() || !clip) return;
  playing = wanting = true;
  playButton();
  requestAnimationFrame(tick);
}, true);
document.addEventListener("pause", (event) => {
  if (event.target !== player() || !playing) return;
  if (looping && wanting && (event.target.ended || performance.now() - jumped < 600)) return again(event.target);
  playing = false;
  playButton();
  if (clip) seek({ t: event.target.currentTime });
}, true);
document.addEventListener("loadeddata", (event) => { if (event.target === player() && shown && !playing) syncPlayer(shown.time_s); }, true);
function playButton() {
  find("[data-do=play]").setAttribute("aria-label", playing ? "Pause" : "Play");
  root.classList.toggle("is-on", playing);
}
