// What the parts of the page share: one event bus, a clock, element builders and the keyboard.
// A click on the timeline, a row, a card or a chip becomes a `seek`; the viewer answers with `moved`.
// Nothing here touches `innerHTML` with data: text goes in through `textContent` and attributes only.
window.aw = (() => {
  const target = new EventTarget();
  const on = (name, handler) => target.addEventListener(name, (event) => handler(event.detail));
  const emit = (name, detail = {}) => target.dispatchEvent(new CustomEvent(name, { detail }));

  const clock = (seconds, digits = 2) => {
    const s = Math.max(0, Number(seconds) || 0);
    const hours = Math.floor(s / 3600), minutes = Math.floor((s % 3600) / 60);
    const rest = (s % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
    return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
  };

  const build = (node, attributes, children) => {
    for (const [key, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (key === "text") node.textContent = value;
      else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children);
    return node;
  };
  const h = (tag, attributes, ...children) => build(document.createElement(tag), attributes, children);
  const svg = (tag, attributes, ...children) =>
    build(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

  // Thumbnails are asked for once per clip, whoever shows them.
  const thumbnails = new Map();
  const thumbnail = (server, sid, key, index) => {
    const id = `${key}/${index}`;
    if (!thumbnails.has(id)) {
      thumbnails.set(id, server.thumbnail({ sid, frame: index }).catch(() => { thumbnails.delete(id); return null; }));
      if (thumbnails.size > 256) thumbnails.delete(thumbnails.keys().next().value);
    }
    return thumbnails.get(id);
  };

  const KEYS = [
    ["ArrowLeft", { step: -1 }, "←  →", "one frame back / on"],
    ["ArrowRight", { step: 1 }],
    ["Shift+ArrowLeft", { stride: -1 }, "⇧ ←  ⇧ →", "one scored (dense) frame back / on"],
    ["Shift+ArrowRight", { stride: 1 }],
    ["PageUp", { event: -1 }, "PgUp  PgDn", "peak of the previous / next event"],
    ["PageDown", { event: 1 }],
    ["Home", { edge: -1 }, "Home  End", "first / last frame"],
    ["End", { edge: 1 }],
    [" ", { play: true }, "Space", "play / pause"],
    ["h", { layer: "heat" }, "h  m  b  l", "heatmap, masks, boxes, labels"],
    ["m", { layer: "masks" }],
    ["b", { layer: "boxes" }],
    ["l", { layer: "labels" }],
    ["z", { zoom: "event" }, "z  0", "zoom to the event / whole clip"],
    ["0", { zoom: "all" }],
    ["?", { help: true }, "?", "this list"],
  ];
  const bindings = new Map(KEYS.map(([key, command]) => [key, command]));
  const keyboard = (element) => element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    if (event.target.matches("button") && (event.key === " " || event.key === "Enter")) return;
    const shifted = event.shiftKey && event.key.startsWith("Arrow");
    const command = bindings.get(shifted ? `Shift+${event.key}` : event.key);
    if (!command) return;
    event.preventDefault();
    event.stopPropagation();
    emit("command", command);
  });

  // Rows, cards and chips drawn by Python carry data-seek-s (and perhaps data-frame, data-instance).
  const seekers = (element) => {
    const act = (event) => {
      const node = event.target.closest("[data-seek-s],[data-frame]");
      if (!node || !element.contains(node)) return;
      event.preventDefault();
      for (const other of element.querySelectorAll("[aria-current]")) other.removeAttribute("aria-current");
      node.setAttribute("aria-current", "true");
      const { seekS, untilS, frame, instance } = node.dataset;
      emit("seek", {
        t: seekS === undefined ? undefined : Number(seekS), until: untilS === undefined ? undefined : Number(untilS),
        frame: frame === undefined ? undefined : Number(frame), instance: instance ? Number(instance) : undefined,
      });
    };
    element.addEventListener("click", act);
    element.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") act(event); });
  };

  const parse = (text) => { try { return text ? JSON.parse(text) : null; } catch { return null; } };

  const stored = localStorage.getItem("aw-theme");
  if (stored) document.addEventListener("DOMContentLoaded", () => document.body.classList.toggle("dark", stored === "dark"));
  const toggleTheme = () => {
    const dark = document.body.classList.toggle("dark");
    localStorage.setItem("aw-theme", dark ? "dark" : "light");
  };

  return { on, emit, clock, h, svg, thumbnail, keyboard, seekers, parse, toggleTheme, KEYS };
})();
