// What the parts of the page share: one event bus, a clock and element builders (keys.js has the keyboard).
// A click on the timeline, a row, a card or a chip becomes a `seek`; the viewer answers with `moved`.
// Nothing here touches `innerHTML` with data: text goes in through `textContent` and attributes only.
window.aw = (() => {
  const target = new EventTarget();
  // What the store says last is kept for parts of the page that come to listen later.
  const KEPT = new Set(["events", "select", "selected", "moved"]), last = new Map();
  const on = (name, handler) => {
    target.addEventListener(name, (event) => handler(event.detail));
    if (last.has(name)) handler(last.get(name));
  };
  const emit = (name, detail = {}) => {
    if (KEPT.has(name)) last.set(name, detail);
    target.dispatchEvent(new CustomEvent(name, { detail }));
  };

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
      thumbnails.set(id, server.thumbnail({ sid, key, frame: index }).catch(() => { thumbnails.delete(id); return null; }));
      if (thumbnails.size > 256) thumbnails.delete(thumbnails.keys().next().value);
    }
    return thumbnails.get(id);
  };

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

  // A list is told of at once when it was clicked. By key one comes past many values on the way to one: that one is told
  // after a pause or when the list is left, and Escape goes back to what was there before.
  const NEVER = 2 ** 31 - 1;
  const settled = (list, tell, { pause = 1000, begin = () => {} } = {}) => {
    let timer = null, before = list.value;
    const end = () => { clearTimeout(timer); timer = null; };
    const now = () => { end(); tell(list.value); };
    list.addEventListener("focus", () => { before = list.value; });
    list.addEventListener("change", () => {
      end();
      if (!list.matches(":focus-visible")) return now();
      begin();
      timer = setTimeout(now, pause);
    });
    list.addEventListener("keydown", (event) => { if (event.key === "Escape" && timer !== null) { end(); list.value = before; } });
    list.addEventListener("blur", () => { if (timer !== null) now(); });
    return { waits: () => timer !== null, now };
  };

  const parse = (text) => { try { return text ? JSON.parse(text) : null; } catch { return null; } };

  const stored = localStorage.getItem("aw-theme");
  if (stored) document.addEventListener("DOMContentLoaded", () => document.body.classList.toggle("dark", stored === "dark"));
  const toggleTheme = () => {
    const dark = document.body.classList.toggle("dark");
    localStorage.setItem("aw-theme", dark ? "dark" : "light");
  };

  return { on, emit, clock, h, svg, thumbnail, seekers, settled, NEVER, parse, toggleTheme };
})();
