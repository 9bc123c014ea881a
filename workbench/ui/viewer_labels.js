// A part of the viewer's js_on_load: where labels stand, as in workbench/labels.py. Each has one place for the whole clip,
// the first where it meets no label of an instance before it in any frame, so that none hides another and none jumps.
const PLACES = [0, 1, 2, 3, 4].flatMap((step) => ["above", "below", "inside"].map((side) => [side, step]));
const ruler = document.createElement("canvas").getContext("2d");
let places = { of: null };   // of: the version of the overlays and the size that they were found for
function chipSize(label, unit) {
  ruler.font = `600 12px ${getComputedStyle(root).fontFamily}`;
  return { width: (ruler.measureText(label).width + 8) * unit, height: 17 * unit };
}
function chipAt(box, { width, height }, place, unit) {
  const [side, step] = PLACES[place], gap = 2 * unit, away = gap + step * (height + gap);
  const top = side === "above" ? box[1] - height - away : side === "below" ? box[3] + away : box[1] + away;
  const within = (value, most) => Math.min(Math.max(0, value), Math.max(0, most));
  return { x: within(box[0], clip.width - width), y: within(top, clip.height - height), width, height };
}
const meet = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
function placesFor(unit) {
  const of = `${clip.version} ${unit}`;
  if (places.of === of) return places;
  places = { of };
  const looks = [...new Set(clip.instances.flatMap((item) => item.frames))].sort((a, b) => a - b), standing = [];
  for (const item of clip.instances) {
    const size = chipSize(item.label, unit), count = item.frames.length;
    const reach = Math.max(clip.hold, count > 1 ? (item.frames.at(-1) - item.frames[0]) / (count - 1) : 0);   // some were left out
    const boxes = looks.map((frame) => {
      const i = nearest(item.frames, frame);
      return count && Math.abs(item.frames[i] - frame) <= reach ? item.boxes[i] : null;
    });
    let best = null;
    for (let place = 0; place < PLACES.length && best?.meetings !== 0; place++) {
      const chips = boxes.map((box) => box && chipAt(box, size, place, unit));
      const meetings = standing.reduce((sum, other) => sum + chips.filter((chip, i) => chip && other[i] && meet(chip, other[i])).length, 0);
      if (!best || meetings < best.meetings) best = { place, chips, meetings };
    }
    places[item.id] = best.place;
    standing.push(best.chips);
  }
  return places;
}
// The labels of one frame: `{ id, label, box }` → `{ x, y, width, height }` each, giving way where they have to.
function placeLabels(items, unit) {
  const own = placesFor(unit), placed = [];
  for (const { id, label, box } of items) {
    const size = chipSize(label, unit), first = own[id] ?? 0;
    const order = [first, ...PLACES.keys()].map((place) => chipAt(box, size, place, unit));
    placed.push(order.find((chip) => !placed.some((other) => meet(chip, other))) ?? order[0]);
  }
  return placed;
}
