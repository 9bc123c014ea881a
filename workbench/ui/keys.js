// The keyboard of the page: one table, one listener, one sheet that shows it (`?`). A key becomes a `command` on the
// bus; whoever can carry it out listens there. Nothing fires while somebody types, nor on a control that uses the key.
(() => {
  const { h, emit, on } = window.aw;
  const GROUPS = [
    ["Move", [
      ["ArrowLeft", { step: -1 }, "←  →", "one frame back / on"],
      ["ArrowRight", { step: 1 }],
      ["Shift+ArrowLeft", { stride: -1 }, "⇧ ←  ⇧ →", "one scored frame back / on"],
      ["Shift+ArrowRight", { stride: 1 }],
      ["PageUp", { event: -1 }, "PgUp  PgDn", "previous / next event"],
      ["PageDown", { event: 1 }],
      ["Home", { edge: -1 }, "Home  End", "first / last frame"],
      ["End", { edge: 1 }],
      [" ", { play: true }, "Space", "play / pause"],
      ["o", { loop: true }, "o", "play the event in a loop"],
    ]],
    ["Look", [
      ["h", { layer: "heat" }, "h  m  b  l", "heatmap, masks, boxes, labels"],
      ["m", { layer: "masks" }],
      ["b", { layer: "boxes" }],
      ["l", { layer: "labels" }],
      ["z", { zoom: "event" }, "z  0", "zoom to the event / whole clip"],
      ["0", { zoom: "all" }],
      [".", { zoom: "in" }, ".  ,", "zoom in at the playhead / out"],
      [",", { zoom: "out" }],
      ["v", { tool: "select" }, "v  +  −  r", "select an instance; point on it, off it, box around it"],
      ["+", { tool: "add" }],
      ["-", { tool: "less" }],
      ["r", { tool: "box" }],
      ["t", { track: true }, "t", "track the instance through the event"],
    ]],
    ["Events", [
      ["n", { edit: "add" }, "n", "new event at the playhead"],
      ["[", { edit: "start" }, "[  ]", "event starts / ends at the playhead"],
      ["]", { edit: "end" }],
      ["s", { edit: "split" }, "s", "split the event at the playhead"],
      ["j", { edit: "merge" }, "j", "join with the next event"],
      ["c", { edit: "confirm" }, "c", "confirm the event"],
      ["x", { edit: "remove" }, "x", "reject the event (delete one of yours)"],
      ["k", { edit: "category" }, "k", "choose its category"],
      ["w", { edit: "write" }, "w", "write its texts"],
    ]],
    ["Work", [
      ["Ctrl+z", { turn: "undo" }, "Ctrl Z  u", "undo"],
      ["u", { turn: "undo" }],
      ["Ctrl+y", { turn: "redo" }, "Ctrl Y  y", "redo"],
      ["Ctrl+Shift+z", { turn: "redo" }],
      ["y", { turn: "redo" }],
      ["d", { done: true }, "d", "clip done, open the next one"],
      ["g", { room: true }, "g", "library / review"],
      ["/", { ask: true }, "/  Esc", "ask a question / back to the keys"],
      ["?", { help: true }, "?", "this sheet"],
    ]],
  ];
  const bindings = new Map(GROUPS.flatMap(([, keys]) => keys.map(([key, command]) => [key, command])));
  const TYPING = "input:not([type=range]):not([type=checkbox]):not([type=radio]):not([type=button]), textarea, select, [contenteditable=true], [role=textbox], [role=combobox]";

  const nameOf = (event) => {
    const key = event.key.length === 1 && event.key !== " " ? (event.ctrlKey || event.metaKey ? event.key.toLowerCase() : event.key) : event.key;
    const shift = event.shiftKey && (key.startsWith("Arrow") || event.ctrlKey || event.metaKey) ? "Shift+" : "";
    return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${shift}${key}`;
  };
  // A control in focus keeps the keys that work it: Space and Enter a button, arrows a slider, a tab or the player.
  const usesKey = (node, key) => {
    if (node.matches("button, a, [role=button], [role=tab], summary") && (key === " " || key === "Enter")) return true;
    if (node.matches("[role=tab], input[type=range], input[type=radio], video, audio")) return key.startsWith("Arrow") || ["Home", "End", " ", "PageUp", "PageDown"].includes(key);
    return false;
  };
  // In the other rooms nobody sees what a key would do to the clip.
  const inReview = () => Boolean(document.querySelector("#aw-main")?.getClientRects().length);
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.isComposing || event.defaultPrevented) return;
    const node = event.target instanceof Element ? event.target : document.body;
    if (sheet?.open && event.key !== "?" && event.key !== "Escape") return;
    if (node.closest(TYPING) || usesKey(node, event.key)) return;
    const command = bindings.get(nameOf(event));
    if (!command || !(inReview() || command.room || command.help)) return;
    event.preventDefault();
    // A key held down steps and zooms on; it does not reject one event after the other.
    if (event.repeat && !(command.step || command.stride || command.event || command.zoom)) return;
    emit("command", command);
  });

  // What a pointer has pressed does not keep the keyboard: Space after a click on "Split" plays, it does not split again,
  // and an arrow after a choice steps, it does not choose another. Whoever comes there by Tab stays there.
  const release = (node) => { if (node === document.activeElement) (node.closest(".aw-viewer, .aw-tl") ?? node).focus({ preventScroll: true }); if (node === document.activeElement) node.blur(); };
  document.addEventListener("click", (event) => {
    const button = event.detail > 0 && event.target instanceof Element && event.target.closest("#aw-main button, #aw-rooms [role=tab]");
    if (button) release(button);
  });
  document.addEventListener("change", ({ target }) => { if (target.matches("#aw-main :is(select, input[type=range])") && !target.matches(":focus-visible")) release(target); });
  // A list that was reached by key is left by Enter or Escape, the question by Escape.
  const LEFT_BY = { Enter: "#aw-main select", Escape: "#aw-main select, #aw-ask textarea, .aw-shelf-search" };
  document.addEventListener("keydown", (event) => {
    if (!LEFT_BY[event.key] || !event.target.matches?.(LEFT_BY[event.key])) return;
    event.preventDefault();
    release(event.target);
  });

  let sheet = null;
  const show = () => {
    if (!sheet) {
      const parts = GROUPS.map(([name, keys]) => h("section", {}, h("h3", { text: name }),
        h("dl", {}, ...keys.filter(([, , shown]) => shown).flatMap(([, , shown, meaning]) => [h("dt", { text: shown }), h("dd", { text: meaning })]))));
      const close = h("button", { type: "button", "aria-label": "Close", text: "×", onclick: () => sheet.close() });
      sheet = h("dialog", { class: "aw-sheet-keys", "aria-label": "Keyboard shortcuts" },
        h("header", {}, h("strong", { text: "Keyboard" }), h("span", { text: "works wherever you are not typing" }), close), h("div", {}, ...parts));
      sheet.addEventListener("click", (event) => { if (event.target === sheet) sheet.close(); });
      document.body.append(sheet);
    }
    if (sheet.open) sheet.close(); else sheet.showModal();
  };
  on("command", (command) => {
    if (command.help) show();
    if (command.ask) document.querySelector("#aw-ask textarea")?.focus();
    if (command.room) {
      const tabs = [...document.querySelectorAll("#aw-rooms > .tab-wrapper [role=tab]")];
      tabs[(tabs.findIndex((tab) => tab.getAttribute("aria-selected") === "true") + 1) % 2]?.click();
    }
  });
})();
