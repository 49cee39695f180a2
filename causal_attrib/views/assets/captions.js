"use strict";
// The list of captions: rows are drawn where they are in sight, whatever their number, and everything is set as text.
(() => {
  document.documentElement.classList.add("js");
  const { rows, verdicts } = JSON.parse(document.getElementById("copo-captions").textContent);
  const at = (id) => document.getElementById(id);
  const view = at("view"), space = at("space"), detail = at("detail"), count = at("count");
  const [ID, IMAGE, TEXT, P, VALUE, AGAINST, WORDS, CHANGE] = [0, 1, 2, 3, 4, 5, 6, 7];
  const HEIGHT = 40, BEYOND = 8;
  const lower = rows.map((row) => `${row[TEXT]}\n${row[ID]}\n${row[IMAGE]}`.toLowerCase());
  let shown = [], chosen = -1, drawn = "";

  const element = (name, classes, text) => {
    const made = document.createElement(name);
    if (classes) made.className = classes;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const number = (value, digits = 3) => (value === null || value === undefined ? "–" : Number(value).toFixed(digits));

  const KEYS = {
    p: (row) => -(row[P] ?? -1), against: (row) => -row[AGAINST], value: (row) => row[VALUE] ?? Infinity,
    change: (row) => -Math.abs(row[CHANGE] ?? 0), order: () => 0,
  };

  function choose() {
    const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdict = at("verdict").value;
    const key = KEYS[at("sort").value];
    shown = [];
    for (let place = 0; place < rows.length; place++) {
      if (!words.every((word) => lower[place].includes(word))) continue;
      if (verdict !== "" && !rows[place][WORDS].some((word) => word[2] === Number(verdict))) continue;
      shown.push(place);
    }
    const keys = new Map(shown.map((place) => [place, key(rows[place])]));
    shown.sort((one, other) => keys.get(one) - keys.get(other) || one - other);
    count.textContent = `${shown.length.toLocaleString("en")} captions`;
    space.style.height = `${shown.length * HEIGHT}px`;
    view.scrollTop = 0;
    drawn = "";
    draw();
  }

  // A caption with its words on the colour of their verdict.
  function painted(row, into) {
    let end = 0;
    for (const [start, stop, verdict] of row[WORDS]) {
      if (verdict === null) continue;
      into.append(row[TEXT].slice(end, start), element("span", `w${verdict}`, row[TEXT].slice(start, stop)));
      end = stop;
    }
    into.append(row[TEXT].slice(end));
    return into;
  }

  function draw() {
    const first = Math.max(0, Math.floor(view.scrollTop / HEIGHT) - BEYOND);
    const last = Math.min(shown.length, Math.ceil((view.scrollTop + view.clientHeight) / HEIGHT) + BEYOND);
    const now = `${first} ${last} ${chosen}`;
    if (now === drawn) return;
    drawn = now;
    const changes = at("sort").value === "change";
    at("other").textContent = changes ? "change" : "outcome";
    const made = document.createDocumentFragment();
    for (let place = first; place < last; place++) {
      const row = rows[shown[place]];
      const line = element("div", "row");
      line.style.top = `${place * HEIGHT}px`;
      line.dataset.row = shown[place];
      line.id = `row-${shown[place]}`;
      line.setAttribute("role", "option");
      line.setAttribute("aria-setsize", shown.length);
      line.setAttribute("aria-posinset", place + 1);
      line.setAttribute("aria-selected", shown[place] === chosen);
      const other = changes ? row[CHANGE] : row[VALUE];
      line.append(element("span", "n", number(row[P], 2)), element("span", "n k", number(other, 2)),
        painted(row, element("span")));
      made.append(line);
    }
    space.replaceChildren(made);
  }

  function open(place, { scroll = false } = {}) {
    const row = rows[place];
    chosen = place;
    drawn = "";
    view.setAttribute("aria-activedescendant", `row-${place}`);
    if (scroll) {
      const line = shown.indexOf(place);
      if (line >= 0) view.scrollTop = Math.max(0, (line - 2) * HEIGHT);
    }
    draw();
    const head = element("p", "note", `${row[ID]} · ${row[IMAGE]} · p(false) ${number(row[P])} · outcome ${number(row[VALUE])}`);
    if (row.length > CHANGE) head.append(` · change of p(false) ${number(row[CHANGE])}`);
    const table = element("table");
    const heading = table.createTHead().insertRow();
    for (const name of ["word", "verdict", "evidence (nats)", "p(false)", "necessity"]) heading.append(element("th", "", name));
    const body = table.createTBody();
    for (const [start, stop, verdict, evidence, p, necessity] of row[WORDS]) {
      const line = body.insertRow();
      line.append(element("th", "", row[TEXT].slice(start, stop)));
      line.append(element("td", "", verdict === null ? "–" : verdicts[verdict]));
      for (const value of [evidence, p, necessity]) line.append(element("td", "", number(value)));
    }
    const wrapped = element("div", "scroll");
    wrapped.append(table);
    const parts = [head, painted(row, element("p", "text")), wrapped];
    const picture = document.querySelector(`.thumb[data-row="${place}"] img`);
    if (picture) parts.unshift(picture.cloneNode());
    detail.replaceChildren(...parts);
    detail.hidden = false;
    history.replaceState(null, "", `#caption=${encodeURIComponent(row[ID])}`);
  }

  function step(by) {
    const line = Math.min(Math.max(shown.indexOf(chosen) + by, 0), shown.length - 1);
    if (line < 0) return;
    open(shown[line]);
    if (line * HEIGHT < view.scrollTop) view.scrollTop = line * HEIGHT;
    const under = (line + 1) * HEIGHT - view.clientHeight;
    if (under > view.scrollTop) view.scrollTop = under;
    draw();
  }

  view.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  addEventListener("resize", draw);
  view.addEventListener("click", (event) => {
    const line = event.target.closest(".row");
    if (line) open(Number(line.dataset.row));
  });
  view.addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -shown.length, End: shown.length }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    step(by);
  });
  for (const id of ["search", "sort", "verdict"]) at(id).addEventListener("input", choose);
  at("tools").addEventListener("submit", (event) => event.preventDefault());
  for (const button of document.querySelectorAll(".thumb")) {
    button.addEventListener("click", () => {
      open(Number(button.dataset.row), { scroll: true });
      detail.scrollIntoView({ block: "nearest" });
    });
  }
  for (const button of document.querySelectorAll("button.word")) {
    button.addEventListener("click", () => {
      at("search").value = button.dataset.word;
      at("verdict").value = String(verdicts.indexOf("against the image"));
      choose();
      at("tools").scrollIntoView({ block: "start" });
    });
  }
  if (!rows.some((row) => row[P] !== null)) at("sort").value = "order";
  choose();
  const named = /^#caption=(.*)$/.exec(location.hash);
  if (named) {
    const place = rows.findIndex((row) => String(row[ID]) === decodeURIComponent(named[1]));
    if (place >= 0) open(place, { scroll: true });
  }
})();
