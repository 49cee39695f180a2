// Part of the report's script: maps on the picture, and from a place in the picture to its words.

const stage = document.getElementById("stage");
const canvas = stage && stage.querySelector("canvas");
const spot = stage && stage.querySelector(".spot");
const ownScale = document.getElementById("own-scale");
// As in overlay.py; maps come in 127 steps on either side of zero.
const BLUE = [33, 102, 172], RED = [178, 24, 43], STRONGEST = 0.7, STEPS = 127;
// A place is a square of this share of the picture's width. A word is lit if the place does at least a quarter for it of
// what it does for any word; where all effects are below a fiftieth of the maps' full colour, none is.
const SIDE = 1 / 10, LIT = 1 / 4, FAINT = 1 / 50;

function draw(unit) {
  const maps = unit && unit.map !== null ? unit.caption.maps : null;
  const name = document.getElementById("map-name");
  stage.classList.toggle("grey", Boolean(maps));
  if (!maps) {
    name.textContent = unit ? "There is no map of this word." : "Point at a word to see what in the picture speaks for it.";
    return;
  }
  const size = maps.width * maps.height;
  const values = maps.values.subarray(unit.map * size, (unit.map + 1) * size);
  const full = ownScale.checked ? Math.max(1, values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)) : STEPS;
  canvas.width = maps.width;
  canvas.height = maps.height;
  canvas.classList.toggle("pixel", maps.pixel);
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(maps.width, maps.height);
  values.forEach((value, at) => {
    image.data.set(value < 0 ? RED : BLUE, 4 * at);
    image.data[4 * at + 3] = Math.round(255 * STRONGEST * Math.min(1, Math.abs(value) / full));
  });
  pen.putImageData(image, 0, 0);
  name.replaceChildren("Map of ", element("b", element("bdi", unit.text)));
  scaleOfMaps(maps, full);
}

function scaleOfMaps(maps, full) {
  legend(stage.parentElement.querySelector(".map-key"), "signed", brief((maps.limit * full) / STEPS));
  document.getElementById("map-what").textContent = maps.what;
}

function meanAt(maps, map, x, y) {
  const [half, middle] = [(SIDE * maps.width) / 2, (share, count) => share * count - 0.5];
  const from = (share, count) => Math.min(count - 1, Math.max(0, Math.round(middle(share, count) - Math.max(0, half - 0.5))));
  const to = (share, count) => Math.max(0, Math.min(count - 1, Math.round(middle(share, count) + Math.max(0, half - 0.5))));
  let sum = 0, count = 0;
  for (let row = from(y, maps.height); row <= to(y, maps.height); row++) {
    for (let column = from(x, maps.width); column <= to(x, maps.width); column++, count++) {
      sum += maps.values[(map * maps.height + row) * maps.width + column];
    }
  }
  return (sum / count) * (maps.limit / STEPS);
}

function light(x, y) {
  release();
  shown.place = { x, y };
  const side = SIDE * stage.clientWidth;
  spot.hidden = false;
  spot.style.left = `${x * stage.clientWidth - side / 2}px`;
  spot.style.top = `${y * stage.clientHeight - side / 2}px`;
  spot.style.width = spot.style.height = `${side}px`;
  document.body.classList.add("lighting");
  const parts = [element("p", "This place in the picture", "place"), element("h2", "Words it speaks for")];
  const told = captions.filter((caption) => caption.maps).map((caption) => {
    const lit = lightWords(caption, x, y);
    if (captions.length > 1) parts.push(element("p", caption.name, "place"));
    parts.push(element("p", lit.length ? lit.map(([unit, effect]) => element("span", [element("bdi", unit.text), ` ${brief(effect)}`]))
      : "None: it has hardly any effect.", "lit-words"));
    return lit.map(([unit]) => unit.text).join(", ") || "no word";
  });
  open(parts);
  status.textContent = `This place speaks for: ${told.join("; ")}.`;
}

function lightWords(caption, x, y) {
  const effects = caption.units.map((unit) => (unit.map === null ? 0 : meanAt(caption.maps, unit.map, x, y)));
  const limit = Math.max(FAINT * caption.maps.limit, ...effects.map(Math.abs));
  const levels = effects.map((effect) => Math.round((LEVELS * effect) / limit));
  colour(caption, levels.map((level) => (level ? `${level < 0 ? "red" : "blue"} l${Math.abs(level)}` : "")));
  legend(caption.key, "signed", brief(limit), "blue: this place speaks for the word; red: against it");
  const isLit = (unit) => effects[unit.at] >= LIT * limit && effects[unit.at] >= FAINT * caption.maps.limit;
  const lit = caption.units.filter(isLit).sort((a, b) => effects[b.at] - effects[a.at]);
  for (const unit of lit) unit.span.classList.add("lit");
  return lit.map((unit) => [unit, effects[unit.at]]);
}

function unlight() {
  shown.place = null;
  spot.hidden = true;
  document.body.classList.remove("lighting");
  for (const each of document.querySelectorAll(".lit")) each.classList.remove("lit");
  colourByScore();
}
