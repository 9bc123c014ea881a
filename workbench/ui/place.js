// Where the analyst is (clip, time, selected event), kept in the address, so that a reload or a link leads back there.
(() => {
  const { on, emit } = window.aw;
  const asked = new URLSearchParams(location.search);
  let wanted = asked.get("clip") ? { clip: asked.get("clip"), t: Number(asked.get("t")), event: asked.get("event") } : null;
  let here = { clip: null, t: null, event: null }, timer = null;

  const write = () => {
    timer = null;
    const url = new URL(location.href);
    const places = [["clip", here.clip], ["t", here.t === null ? null : here.t.toFixed(4)], ["event", here.event]];
    for (const [name] of places) url.searchParams.delete(name);
    for (const [name, value] of places) if (value) url.searchParams.append(name, value);   // always in this order
    if (url.href !== location.href) history.replaceState(history.state, "", url);
  };
  const later = () => { if (timer === null) timer = setTimeout(write, 250); };

  on("events", (value) => {
    if (value.clip !== here.clip) here = { clip: value.clip, t: null, event: null };
    if (wanted && value.clip && !value.clip.startsWith(wanted.clip)) wanted = null;   // another clip was opened meanwhile
    if (wanted && value.analysed && value.clip?.startsWith(wanted.clip) && wanted.event) {
      const { event } = wanted;
      wanted.event = null;
      if (value.events.some((item) => item.id === event)) emit("select", { id: event });
      // Selecting may have led to the event's start; a viewer that was sent to its time before is sent there again.
      if (wanted.there) { const { t } = wanted; wanted = null; if (Number.isFinite(t)) emit("seek", { t: t + 1e-4 }); }
    }
    if (!wanted) later();
  });
  on("select", ({ id }) => { here.event = id; if (!wanted) later(); });
  // The viewer shows where the analysis points to before it can be sent anywhere else.
  on("moved", ({ t }) => {
    if (wanted && here.clip?.startsWith(wanted.clip)) {
      if (wanted.there) return;   // the event is still to come
      const { t: to } = wanted;
      if (wanted.event) wanted.there = true; else wanted = null;
      if (Number.isFinite(to)) { emit("seek", { t: to + 1e-4 }); return; }
    }
    if (!here.clip || wanted) return;
    here.t = t;
    later();
  });
})();
