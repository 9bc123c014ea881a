// Body of the library's js_on_load. Its value is the session; lines and pictures are asked for directly, without the queue.
const { h, clock, emit, on } = window.aw;
const root = element.querySelector(".aw-shelf");
const find = (selector) => root.querySelector(selector);
const search = find(".aw-shelf-search"), order = find(".aw-shelf-order"), grid = find(".aw-shelf-grid"), hint = find(".aw-hint"), chips = find(".aw-shelf-status");
const STATUSES = ["all", "new", "analysed", "in review", "done", "disputed"];
const pictures = new Map();
let status = "all", open = null, asked = 0, timer = null;

order.value = localStorage.getItem("aw-order") || "score";
const session = () => window.aw.parse(props.value)?.sid;

function picture(image, clip) {
  if (!pictures.has(clip)) pictures.set(clip, server.picture({ sid: session(), clip }).then((source) => { if (!source) pictures.delete(clip); return source; }, () => { pictures.delete(clip); }));
  pictures.get(clip).then((source) => { if (source) image.src = source; else image.classList.add("is-missing"); });
}
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) { seen.unobserve(entry.target); picture(entry.target, entry.target.dataset.clip); }
});

function card(line) {
  const image = h("img", { alt: "", "data-clip": line.clip || "" });
  if (line.clip) seen.observe(image); else image.classList.add("is-missing");
  const score = line.top_score === null ? null : h("span", { class: "aw-shelf-score", title: "highest score" }, h("i", { style: `width:${Math.round(line.top_score * 100)}%` }), h("b", { text: line.top_score.toFixed(2) }));
  const facts = [line.events ? `${line.events} event${line.events > 1 ? "s" : ""}` : "no event", line.corrections ? `${line.corrections} correction${line.corrections > 1 ? "s" : ""}` : null, line.duration_s ? clock(line.duration_s, 0) : null].filter(Boolean).join(" · ");
  const go = () => { if (line.clip) trigger("open", { clip: line.clip }); };
  return h("button", { type: "button", role: "listitem", class: `aw-shelf-card${open && line.clip?.startsWith(open) ? " is-open" : ""}`, disabled: !line.clip, onclick: go, "data-clip": line.clip, "data-status": line.status,
    "aria-label": `Clip ${line.name}, ${line.status}`, title: line.clip ? line.name : `${line.name}: imported without its video` },
    h("span", { class: "aw-shelf-picture" }, image, h("em", { class: "aw-shelf-pill", "data-status": line.status, text: line.status }), score),
    h("strong", { text: line.name }), h("span", { class: "aw-shelf-kinds", text: line.categories.join(", ") || "—" }), h("small", { text: facts }));
}

async function refresh() {
  if (!session() || !root.offsetParent) return;
  const turn = ++asked;
  let reply;
  try { reply = await server.lines({ sid: session(), search: search.value, status, order: order.value }); } catch { reply = { error: "The library could not be read; is the server still running?" }; }
  if (turn !== asked || !reply) return;
  seen.disconnect();
  grid.replaceChildren(...(reply.lines || []).map(card));
  chips.replaceChildren(...STATUSES.filter((name) => name === "all" || reply.counts?.[name]).map((name) =>
    h("button", { type: "button", "aria-pressed": String(name === status), "data-status": name, onclick: () => { status = name; refresh(); } }, h("span", { text: name }), h("b", { text: name === "all" ? reply.total ?? 0 : reply.counts[name] }))));
  hint.hidden = Boolean(reply.lines?.length);
  hint.textContent = reply.error || (reply.total ? "No clip matches. Clear the search or choose another status." : "Clips appear here once they are analysed. Open one on the Review tab.");
  root.dataset.count = reply.lines?.length ?? 0;
}

search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(refresh, 180); });
order.addEventListener("change", () => { localStorage.setItem("aw-order", order.value); refresh(); });
find(".aw-shelf-next").addEventListener("click", () => trigger("next", { order: order.value }));
new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) refresh(); }).observe(root);
on("events", (value) => { open = value.clip ?? null; if (value.analysed) refresh(); });
watch("value", refresh);
