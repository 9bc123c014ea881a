// Small drawings of training: a curve a component, and before/after of each metric. Text goes in through attributes only.
(() => {
  const { h, svg } = window.aw;
  const W = 420, H = 132, LEFT = 40, RIGHT = 44, TOP = 10, BOTTOM = 20;
  const NAMES = { loss: "loss", valid: "loss on the validation side", auc: "ROC-AUC on the validation side" };
  const METRICS = { frame_auc: "frame ROC-AUC", frame_ap: "frame AP", clip_auc: "clip ROC-AUC", accuracy: "clip accuracy", pixel_auc: "pixel ROC-AUC", pixel_ap: "pixel AP",
    judgement_accuracy: "judgement", category_accuracy: "category", mask_iou_box: "mask IoU, box", mask_iou_click: "mask IoU, click", track_iou: "track IoU", temporal_iou: "event IoU", ece: "calibration error",
    fact_precision: "fact precision", fact_recall: "fact recall", bleu: "BLEU", cider: "CIDEr", meteor: "METEOR", rouge_l: "ROUGE-L" };
  const FALLING = new Set(["ece", "fpe"]);  // less is better

  const forTime = (seconds) => (seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`);
  const short = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2));

  function path(points, x, y, kind) {
    if (points.length === 1) return svg("circle", { class: kind, cx: x(points[0][0]), cy: y(points[0][1]), r: 2.5 });
    return svg("path", { class: kind, d: points.map(([step, value], i) => `${i ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join("") });
  }

  // Losses on the left axis, AUC (0.5 to 1, or lower) on the right one.
  function curve(title, one) {
    const lines = one.lines || {}, losses = [...(lines.loss || []), ...(lines.valid || [])], auc = lines.auc || [];
    const top = Math.max(1e-6, ...losses.map((p) => p[1])), low = Math.min(0, ...losses.map((p) => p[1])), floor = Math.min(0.5, ...auc.map((p) => p[1]));
    const steps = Math.max(one.steps || 1, ...losses.map((p) => p[0]));
    const x = (step) => LEFT + (W - LEFT - RIGHT) * step / steps, place = (share) => TOP + (H - TOP - BOTTOM) * (1 - share);
    const y = (value) => place((value - low) / (top - low)), z = (value) => place((value - floor) / (1 - floor));
    const grid = [0, 0.5, 1].map((share) => svg("g", {}, svg("line", { class: "grid", x1: LEFT, x2: W - RIGHT, y1: place(share), y2: place(share) }), svg("text", { x: LEFT - 6, y: place(share) + 4, "text-anchor": "end", text: short(low + share * (top - low)) }), auc.length ? svg("text", { class: "auc", x: W - RIGHT + 6, y: place(share) + 4, text: (floor + share * (1 - floor)).toFixed(2) }) : ""));
    const last = losses.length ? Math.max(...losses.map((p) => p[0])) : 0;
    const picture = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `Curves of ${title}` }, ...grid,
      svg("text", { x: LEFT, y: H - 5, text: "0" }), svg("text", { x: W - RIGHT, y: H - 5, "text-anchor": "end", text: `${steps} steps` }),
      lines.loss ? path(lines.loss, x, y, "loss") : "", lines.valid ? path(lines.valid, x, y, "valid") : "", auc.length ? path(auc, x, z, "auc") : "");
    const key = ["loss", "valid", "auc"].filter((name) => lines[name]?.length).map((name) => h("span", { class: `is-${name}` }, h("i"), h("span", { text: NAMES[name] }), h("b", { text: lines[name].at(-1)[1].toFixed(3) })));
    return h("figure", { class: "aw-tune-curve", "data-step": last, "data-steps": steps }, h("figcaption", {}, h("strong", { text: title }), h("small", { text: `step ${last} of ${steps}` })), picture, h("div", { class: "aw-tune-key" }, ...key));
  }

  // A row a metric: before (ring) to after (dot) on 0…1, the gain with its interval beside it.
  function dumbbells(title, changes) {
    if (!changes.length) return h("div", { class: "aw-tune-table is-empty" }, h("h4", { text: title }), h("p", { text: "nothing to measure" }));
    const rows = changes.map((c) => {
      const gain = c.after - c.before, good = FALLING.has(c.metric) ? -gain : gain, kind = Math.abs(gain) < 0.001 ? "same" : good > 0 ? "up" : "down";
      const x = (v) => 4 + 112 * Math.min(1, Math.max(0, v));
      const picture = svg("svg", { viewBox: "0 0 120 16", "aria-hidden": "true" }, svg("line", { class: "axis", x1: 4, x2: 116, y1: 8, y2: 8 }), svg("line", { class: "move", x1: x(c.before), x2: x(c.after), y1: 8, y2: 8 }), svg("circle", { class: "before", cx: x(c.before), cy: 8, r: 3.4 }), svg("circle", { class: "after", cx: x(c.after), cy: 8, r: 3.8 }));
      const sure = c.ci95 ? ` [${c.ci95.map((v) => (v >= 0 ? "+" : "−") + Math.abs(v).toFixed(2)).join(", ")}]` : "";
      return h("tr", { "data-metric": c.metric, "data-way": kind }, h("th", { scope: "row", text: METRICS[c.metric] || c.metric }), h("td", { class: "n", text: c.before.toFixed(3) }), h("td", {}, picture), h("td", { class: "n", text: c.after.toFixed(3) }), h("td", { class: "gain", title: "95 % interval of the difference" }, h("b", { text: `${gain >= 0 ? "+" : "−"}${Math.abs(gain).toFixed(3)}` }), h("small", { text: sure })));
    });
    return h("div", { class: "aw-tune-table" }, h("h4", {}, h("span", { text: title }), h("small", { text: `${Math.max(...changes.map((c) => c.n_clips))} clips` })),
      h("table", { "aria-label": title }, h("thead", {}, h("tr", {}, ...["", "before", "", "after", "change"].map((text) => h("th", { scope: "col", text })))), h("tbody", {}, ...rows)));
  }

  Object.assign(window.aw, { curve, dumbbells, forTime });
})();
