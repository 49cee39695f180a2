// The report: a word shows its map and its numbers, a place in the picture shows its words. Reads #copo-report.
// This file: the data, the colours of the words, and the card. Then report_maps.js and report_events.js, as one script.
"use strict";

// What only scripts make work is not shown without them.
document.documentElement.classList.add("js");

const captions = JSON.parse(document.getElementById("copo-report").textContent);
const card = document.getElementById("card");
const detail = card.querySelector(".detail");
const status = document.getElementById("status");
const LEVELS = 20;

// What is looked at: a unit (a word), held against the pointer when pinned, or a place in the picture.
const shown = { unit: null, pinned: false, place: null };

captions.forEach((caption, place) => {
  const of = (selector) => document.querySelector(`${selector}[data-caption="${place}"]`);
  caption.name = captions.length > 1 ? `Caption ${place + 1}` : "Caption";
  caption.article = of(".caption");
  caption.tables = [...document.querySelectorAll(`:is(.numbers, .signals)[data-caption="${place}"] .units`)];
  caption.key = caption.article.querySelector(".key");
  const spans = [...caption.article.querySelectorAll(".text .t"), ...caption.article.querySelectorAll(".answers .t")];
  caption.units.forEach((unit, at) => {
    Object.assign(unit, { caption, at, span: spans[at], rows: [] });
    unit.span.copo = unit;
  });
  for (const table of caption.tables) {
    for (const row of table.tBodies[0].rows) {
      row.copo = caption.units[row.dataset.unit];
      row.copo.rows.push(row);
    }
  }
  if (caption.maps) caption.maps.values = Int8Array.from(atob(caption.maps.data), (letter) => letter.charCodeAt(0));
});

// Everything is put in as text: no string of a user becomes markup.
function element(tag, content, className) {
  const made = document.createElement(tag);
  made.append(...[content].flat());
  if (className) made.className = className;
  return made;
}

const brief = (value) => (value === 0 ? "0" : String(Number(value.toPrecision(2))));
const chosenScore = () => (document.querySelector("input[name=score]:checked") || { value: null }).value;

// ---- the colours of the words: by score, or (report_maps.js) by what they owe to a place in the picture

const COLOURS = /^(blue|red|amber|grounded|against|prior|undecided|unscored|l\d+)$/;

function shade(part, classes) {
  part.className = [...[...part.classList].filter((name) => !COLOURS.test(name)), classes].join(" ").trim();
}

function colour(caption, classes) {
  caption.units.forEach((unit, at) => {
    shade(unit.span, classes[at] || "");
    for (const row of unit.rows) shade(row.querySelector(".chip"), classes[at] || "");
  });
}

function legend(key, kind, limit, note) {
  if (key.classList.contains("key")) key.className = key.className.replace(/\b(signed|blue|amber|verdict)\b/, kind);
  key.querySelector(".ramp").className = `ramp ${kind}`;
  key.querySelector(".low").textContent = kind === "signed" ? `-${limit}` : "";
  key.querySelector(".high").textContent = limit;
  if (note) key.querySelector(".note").textContent = note;
  key.hidden = false;
}

function colourByScore() {
  const name = chosenScore();
  for (const caption of captions) {
    const score = caption.scores[name];
    colour(caption, score ? score.classes : caption.units.map(() => "unscored"));
    if (score) legend(caption.key, score.kind, score.limit, score.note);
    caption.key.hidden = !score;
    for (const unit of caption.units) {
      const fact = unit.facts.find((each) => each.score === name);
      unit.span.setAttribute("aria-label", `${unit.text}, ${fact ? `${fact.heading} ${fact.value}` : unit.place}`);
    }
  }
}

// ---- the card

function open(parts) {
  const close = element("button", "×", "close");
  close.type = "button";
  close.setAttribute("aria-label", "Close details");
  detail.replaceChildren(...(parts.length ? [...parts, close] : []));
  detail.hidden = !parts.length;
  card.querySelector(".resting").hidden = Boolean(parts.length);
  card.classList.toggle("open", Boolean(parts.length));
}

function aboutWord(unit) {
  const where = captions.length > 1 ? `${unit.caption.name}, ${unit.place}` : unit.place;
  const parts = [element("p", `${where}${shown.pinned ? ", pinned" : ""}`, "place"), element("h2", element("bdi", unit.text))];
  if (unit.bad) parts[1].append(element("span", unit.bad, "verdict"));
  const facts = unit.facts.map(({ score, heading, value, means }) => element(
    "div",
    [element("dt", heading), element("dd", value, "value"), element("dd", means, "means")],
    score === chosenScore() ? "fact chosen" : "fact",
  ));
  if (facts.length) parts.push(element("dl", facts, "facts"));
  if (unit.map !== null) {
    const { notes, proofs } = unit.caption.maps;
    const proof = Object.entries(proofs[unit.map] || {}).map(([what, value]) => `${what.replaceAll("_", " ")}: ${value}.`);
    parts.push(element("p", [element("b", "Map "), [notes[unit.map], ...proof].join(" ")], "of-map"));
  }
  return parts;
}

// ---- what is looked at

function show(unit) {
  shown.unit = unit;
  for (const each of document.querySelectorAll(".on, .kin, .pinned")) each.classList.remove("on", "kin", "pinned");
  for (const each of document.querySelectorAll('[aria-pressed="true"]')) each.setAttribute("aria-pressed", "false");
  if (canvas) draw(unit);
  open(unit ? aboutWord(unit) : []);
  if (!unit) return;
  unit.span.classList.add("on");
  unit.span.classList.toggle("pinned", shown.pinned);
  unit.span.setAttribute("aria-pressed", String(shown.pinned));
  for (const row of unit.rows) row.classList.add("on");
  for (const each of unit.caption.units) each.span.classList.toggle("kin", each !== unit && each.map !== null && each.map === unit.map);
}

function release() {
  shown.pinned = false;
  if (shown.place) unlight();
  show(null);
}

function pin(unit) {
  const again = shown.pinned && shown.unit === unit;
  release();
  shown.pinned = !again;
  show(unit);
  // On a phone the card is a sheet over the text: the word is brought out from under it.
  if (getComputedStyle(card).position === "fixed") unit.span.scrollIntoView({ block: "nearest" });
  status.textContent = again ? "Let go." : [unit.text, ...unit.facts.map((fact) => `${fact.heading} ${fact.value}`)].join(", ");
}
