// Part of the report's script: pointer and keys, the sortable tables, and the start.

const unitOf = (event) => (event.target.closest(".t, tbody tr") || {}).copo;
const isHeld = () => shown.pinned || shown.place;

for (const caption of captions) {
  const group = caption.article.querySelector(".text");
  group.setAttribute("role", "toolbar");
  group.setAttribute("aria-label", `${caption.name}: arrow keys move between words, Enter pins one`);
  caption.units.forEach((unit, at) => {
    unit.span.removeAttribute("title");
    unit.span.setAttribute("role", "button");
    unit.span.setAttribute("aria-pressed", "false");
    unit.span.tabIndex = at ? -1 : 0;
  });
  for (const part of [caption.article, ...caption.tables]) {
    part.addEventListener("pointerover", (event) => {
      const unit = unitOf(event);
      // Between two words the last one stays, so that nothing flickers.
      if (unit && unit !== shown.unit && event.pointerType !== "touch" && !isHeld()) show(unit);
    });
    part.addEventListener("pointerleave", () => isHeld() || show(null));
    part.addEventListener("click", (event) => unitOf(event) && pin(unitOf(event)));
  }
  caption.article.addEventListener("focusin", (event) => {
    const unit = unitOf(event);
    if (!unit) return;
    for (const each of caption.units) each.span.tabIndex = each === unit ? 0 : -1;
    if (!isHeld() && event.target.matches(":focus-visible")) show(unit);
  });
  caption.article.addEventListener("focusout", () => isHeld() || show(null));
  caption.article.addEventListener("keydown", (event) => {
    const unit = unitOf(event);
    if (!unit) return;
    const [back, on, last] = [unit.at - 1, unit.at + 1, caption.units.length - 1];
    const goal = { ArrowLeft: back, ArrowUp: back, ArrowRight: on, ArrowDown: on, Home: 0, End: last }[event.key];
    if (goal !== undefined) caption.units[Math.max(0, Math.min(last, goal))].span.focus();
    else if (event.key === "Enter" || event.key === " ") pin(unit);
    else return;
    event.preventDefault();
  });
}

card.addEventListener("click", (event) => event.target.closest(".close") && release());
document.addEventListener("keydown", (event) => event.key === "Escape" && release());
for (const input of document.querySelectorAll("input[name=score]")) {
  input.addEventListener("change", () => {
    if (shown.place) release();
    colourByScore();
    show(shown.unit);
  });
}

if (canvas) {
  stage.tabIndex = 0;
  stage.setAttribute("role", "application");
  stage.setAttribute("aria-label", "Picture: arrow keys move over it and light the words that each place supports");
  stage.addEventListener("click", (event) => {
    const box = stage.getBoundingClientRect();
    light((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  });
  stage.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], Enter: [0, 0] }[event.key];
    if (!step) return;
    const { x, y } = shown.place || { x: 0.5, y: 0.5 };
    const inside = (share) => Math.max(SIDE / 2, Math.min(1 - SIDE / 2, share));
    light(inside(x + step[0] * SIDE), inside(y + step[1] * SIDE));
    event.preventDefault();
  });
  ownScale.addEventListener("change", () => draw(shown.unit));
  scaleOfMaps(captions.find((caption) => caption.maps).maps, STEPS);
}

// ---- the tables: numbers come largest first, words and places in their own order; a second click turns it round

for (const table of captions.flatMap((caption) => caption.tables)) {
  const body = table.tBodies[0];
  const headings = [...table.querySelectorAll("thead th")];
  headings.forEach((heading, column) => {
    const button = element("button", [...heading.childNodes]);
    button.type = "button";
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const [now, first] = [heading.getAttribute("aria-sort"), column < 2 ? "ascending" : "descending"];
      const order = now === null ? first : now === "ascending" ? "descending" : "ascending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", order);
      body.append(...[...body.rows].sort(by(column, order === "ascending" ? 1 : -1)));
    });
  });
}

function by(column, sign) {
  if (column === 1) return (a, b) => sign * a.copo.text.localeCompare(b.copo.text) || a.copo.at - b.copo.at;
  const value = (row) => row.cells[column].dataset.value;
  return (a, b) => {
    const unscored = (value(a) === undefined) - (value(b) === undefined);
    return unscored || sign * (value(a) - value(b)) || a.copo.at - b.copo.at;
  };
}

// A browser that cannot open a closed <details> for print by style alone opens it here.
const folded = [...document.querySelectorAll("details")];
let wereOpen = [];
addEventListener("beforeprint", () => { wereOpen = folded.map((one) => one.open); for (const one of folded) one.open = true; });
addEventListener("afterprint", () => folded.forEach((one, at) => { one.open = wereOpen[at]; }));

colourByScore();
