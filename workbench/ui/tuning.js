// Body of the Fine-tune room's js_on_load. Its value is the session; all else is asked for directly and, while a run
// waits or trains and the room is in view, asked for again every second.
const { h, curve, dumbbells, forTime } = window.aw;
const root = element.querySelector(".aw-tune"), find = (selector) => root.querySelector(selector);
const form = find("form"), pane = find(".aw-tune-run"), start = find(".aw-tune-start"), why = find(".aw-tune-why");
const POLL_MS = 1000, STATE = { queued: "waiting", running: "training", done: "done", failed: "failed", stopped: "stopped" };
let shown = null, asked = 0, timer = null, logOpen = false, busy = null, last = null, drawn = "", held = false, late = null;
const chosen = new Set(["scorer"]);
const value = () => window.aw.parse(props.value);

function count(number, word, title) { return h("div", { title, class: number ? "" : "is-none" }, h("b", { text: String(number) }), h("span", { text: word })); }
function drawCounts(c) {
  const more = [c.waiting ? `${c.waiting} more not approved yet` : null, c.gone ? `${c.gone} left out, not where it was: open ${c.lost} again` : null].filter(Boolean);
  find(".aw-tune-counts").replaceChildren(count(c.clips, "clips done", "Clips whose review is done"), count(c.abnormal, "abnormal", "of them with an event"), count(c.events, "events"), count(c.masks, "masks", `on ${c.masked_clips} clips`), count(c.texts, "texts", "that a person wrote, changed or confirmed"), ...(more.length ? [h("p", { text: more.join(" · ") })] : []));
}
function drawParts(parts) {
  const same = parts.every((part) => part.missing && part.missing === parts[0].missing);  // said once, below
  find(".aw-tune-parts").replaceChildren(...parts.map((part) => {
    const box = h("input", { type: "checkbox", name: part.id, "aria-label": part.title, checked: chosen.has(part.id) && !part.missing, disabled: Boolean(part.missing), onchange: () => { if (box.checked) chosen.add(part.id); else chosen.delete(part.id); ready(parts); } });
    return h("label", { class: part.missing ? "is-off" : "" }, box, h("strong", { text: part.title }), h("span", { text: (!same && part.missing) || part.about }));
  }));
  ready(parts);
}
function ready(parts) {
  const can = parts.filter((part) => chosen.has(part.id) && !part.missing);
  start.disabled = !can.length || busy !== null;
  why.textContent = can.length ? "" : (parts.some((part) => !part.missing) ? "Choose at least one." : parts[0].missing);
}
function pill(job) {
  const [text, kind] = job.in_use ? ["in use", "use"] : job.decision ? [job.decision, job.decision] : [STATE[job.state], job.state];
  return h("em", { class: "aw-tune-pill", "data-state": kind, text });
}
function drawRuns(jobs) {
  find(".aw-tune-runs").replaceChildren(...jobs.map((job) => h("button", { type: "button", role: "listitem", "aria-current": job.id === shown?.id ? "true" : null, "data-state": job.state, "aria-label": `Run ${job.id}, ${job.title}, ${STATE[job.state]}`, onclick: () => { last = job.id; refresh(); } },
    h("b", { text: `#${job.id}` }), h("span", { text: job.title }), pill(job), h("small", { text: `${job.by} · ${new Date(job.at).toLocaleString([], { dateStyle: "short", timeStyle: "short" })}` }))));
}
function drawUse(reply) {
  const back = h("button", { type: "button", text: "Go back", title: "Use what was in use before", onclick: () => act("decide", { op: "back" }) });
  find(".aw-tune-use").replaceChildren(h("span", { text: "In use" }), h("b", { text: reply.active || `${reply.profile} as it is`, title: reply.active || "" }), ...(reply.active ? [back] : []), ...(reply.note ? [h("p", { role: "alert", text: reply.note })] : []));
}

function button(text, kind, run) { return h("button", { type: "button", class: `aw-tune-${kind}`, text, disabled: busy !== null, onclick: run }); }
function drawRun(job) {
  if (!job) { pane.replaceChildren(h("p", { class: "aw-hint", text: "Corrections you approve teach the models. A run shows its curves here while it learns; at the end it compares before and after on clips it has never seen, and you decide." })); return; }
  const open = job.state === "running" || job.state === "queued";
  const percent = job.fraction === null ? null : Math.round(job.fraction * 100);
  const head = h("header", {}, h("h2", { text: `Run ${job.id} · ${job.title}` }), pill(job), h("span", { class: "aw-tune-spare" }),
    ...(open ? [button("Stop", "stop", () => act("control", { op: "stop", job: job.id }))] : []),
    ...(["failed", "stopped"].includes(job.state) ? [button("Go on", "go", () => act("control", { op: "go on", job: job.id }))] : []));
  const bar = open ? h("div", { class: "aw-tune-bar", role: "progressbar", "aria-label": "Training", "aria-valuenow": percent, "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuetext": job.stage },
    h("i", { style: `width:${percent ?? 0}%`, class: percent === null ? "is-idle" : "" }), h("span", { text: job.stage }), h("em", { text: [percent === null ? null : `${percent} %`, job.eta_s ? `${forTime(job.eta_s)} left here` : null].filter(Boolean).join(" · ") })) : null;
  const told = !open && job.message ? h("p", { class: "aw-tune-message", "data-state": job.state, role: "alert", text: job.message }) : null;
  const curves = Object.entries(job.curves || {}).map(([name, one]) => curve(name, one));
  pane.replaceChildren(...[head, bar, told, job.gate ? verdict(job) : null, curves.length ? h("div", { class: "aw-tune-curves" }, ...curves) : null, facts(job), log(job)].filter(Boolean));
}
function facts(job) {
  const s = job.summary || {}, side = (name, words) => (s[name] ? `${s[name].clips} ${words} (${s[name].abnormal} abnormal)` : null);
  const text = [side("train", "clips to learn from"), side("valid", "to stop in time"), side("hold_out", "held out"), s.replay ? `${s.replay.train} replayed, ${s.replay.hold_out} bundled to test on` : null, s.left_out ? `${s.left_out} left out` : null].filter(Boolean).join(" · ");
  return text ? h("p", { class: "aw-tune-facts", text }) : null;
}
function log(job) {
  if (!job.tail?.length) return null;
  const box = h("details", { class: "aw-tune-log", open: logOpen }, h("summary", { text: "Log" }), h("pre", { tabindex: "0", "aria-label": "Log", text: job.tail.join("\n") }));
  box.addEventListener("toggle", () => { logOpen = box.open; });
  return box;
}
function verdict(job) {
  const gate = job.gate, wait = job.state === "done" && !job.decision && job.adapter;
  const reason = h("input", { class: "aw-tune-reason", "aria-label": "Reason", maxlength: "300", placeholder: gate.adopt ? "Reason (kept with the decision)" : "Why adopt it all the same? Kept with your name" });
  const say = (op) => act("decide", { op, job: job.id, reason: reason.value });
  const how = gate.adopt ? "Better on clips it has never seen" : ({ "too few to tell": "Too few clips to tell", contradicted: "The corrections contradict what was known" })[gate.answer] || "The gate does not let it pass";
  const decided = job.decision ? h("p", { class: "aw-tune-decided", text: `${job.decision} by ${job.decided_by}${job.reason ? `: ${job.reason}` : ""}` }) : null;
  return h("section", { class: "aw-tune-verdict", "data-adopt": String(gate.adopt), role: "group", "aria-label": "Before and after" },
    h("h3", { text: how }), h("ul", {}, ...(gate.reasons || []).map((text) => h("li", { text }))),
    h("div", { class: "aw-tune-tables" }, dumbbells("Your held-out clips", gate.new || []), dumbbells("What it knew before", gate.known || [])),
    ...(wait ? [h("div", { class: "aw-tune-decide" }, reason, button("Reject", "reject", () => say("reject")), button(gate.adopt ? "Adopt" : "Adopt all the same", "adopt", () => say("adopt")))] : []), ...(decided ? [decided] : []));
}

function act(name, data) { busy = name; root.dataset.busy = name; for (const b of pane.querySelectorAll("button")) b.disabled = true; trigger(name, data); late = setTimeout(free, 30000); }
function free() { clearTimeout(late); busy = null; delete root.dataset.busy; drawn = ""; refresh(); }

// What has not changed, or is being pressed or typed into, is left alone: a click needs its button until the end.
function draw(reply) {
  const typing = pane.contains(document.activeElement) && document.activeElement.tagName === "INPUT", now = JSON.stringify([reply, busy]);
  if (held || typing || now === drawn) return;
  drawn = now;
  const focused = document.activeElement?.getAttribute("aria-label") || document.activeElement?.textContent;
  const inside = root.contains(document.activeElement) ? focused : null;
  drawCounts(reply.counts); drawParts(reply.components); drawRuns(reply.jobs); drawUse(reply); drawRun(shown);
  if (inside && !root.contains(document.activeElement)) [...root.querySelectorAll("button, input, summary")].find((node) => (node.getAttribute("aria-label") || node.textContent) === inside)?.focus({ preventScroll: true });
}
root.addEventListener("pointerdown", () => { held = true; });
window.addEventListener("pointerup", () => { if (held) setTimeout(() => { held = false; refresh(); }); });

async function refresh() {
  clearTimeout(timer);
  if (!value()?.sid || !root.offsetParent) return;
  const turn = ++asked;
  let reply;
  try { reply = await server.runs({ sid: value().sid, job: last }); } catch { reply = { error: "The training runs could not be read; is the server still running?" }; }
  if (turn !== asked || !reply) return;
  if (reply.public || reply.error) { form.inert = Boolean(reply.public); pane.replaceChildren(h("p", { class: "aw-hint", text: reply.public || reply.error })); return; }
  shown = reply.shown;
  draw(reply);
  root.dataset.job = shown?.id ?? ""; root.dataset.state = shown?.state ?? "";
  if (reply.jobs.some((job) => job.state === "running" || job.state === "queued")) timer = setTimeout(refresh, POLL_MS);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const data = Object.fromEntries(new FormData(form)), number = (name) => (data[name] === "" || data[name] === undefined ? null : Number(data[name]));
  const components = [...find(".aw-tune-parts").querySelectorAll("input:checked")].map((box) => box.name);
  act("begin", { components, steps: number("steps"), hold_out: number("hold_out"), replay: data.replay, replay_share: number("replay_share"), bundled: number("bundled"), seed: number("seed") });
});
const share = form.elements.replay_share;
share.addEventListener("input", () => { find("output").textContent = `${Math.round(share.value * 100)} %`; });
new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) refresh(); }).observe(root);
watch("value", () => { const told = value(); if (told?.job) last = told.job; free(); });
