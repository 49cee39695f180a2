// The page of copo serve: a picture and a caption to the server, its progress and its report back.
"use strict";

const at = (id) => document.getElementById(id);
const TEXTS = ["caption", "question", "answer"];
const CHOICES = ["outcome", "against", "level"];
let picture = null; // the file that is scored
let running = null; // what stops the request that runs
let results = []; // of this session: {id, maps, caption, url}

function choose(file) {
  if (!file) return;
  if (picture) URL.revokeObjectURL(at("preview").src);
  picture = file;
  at("preview").src = URL.createObjectURL(file);
  at("preview").alt = file.name;
  at("preview").hidden = false;
  at("invite").hidden = true;
  fail("");
}

function fail(sentence) {
  at("error").textContent = sentence;
  at("error").hidden = !sentence;
}

function form(kind) {
  const body = new FormData();
  body.append("image", picture, picture.name || "picture");
  for (const name of TEXTS) if (at(name).value.trim()) body.append(name, at(name).value);
  // Maps are by the word, whatever is hidden at once.
  if (kind !== "saliency") for (const name of CHOICES) body.append(name, at(name).value);
  return body;
}

// The result of a request; what comes before it is shown.
async function ask(kind, signal, body) {
  const answer = await fetch(`v1/${kind}`, { method: "POST", body, signal, headers: { Accept: "text/event-stream" } });
  if (!answer.ok) throw new Error((await answer.json()).error);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let result = null;
  for (;;) {
    const { done, value } = await reader.read();
    if (done && result) return result;
    if (done) throw new Error("The server ended before it answered; try again.");
    text += value;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const [, name, data] = event.match(/^event: (\w+)\ndata: (.*)$/s);
      const told = JSON.parse(data);
      if (name === "error") throw new Error(told.error);
      if (name === "result") result = told;
      if (name === "waiting" && told.before > 1) at("status").textContent = `Waiting for ${told.before} others`;
      if (name === "progress") step(kind, told);
    }
  }
}

function step(kind, { done, total }) {
  at("status").textContent = kind === "saliency" ? "Looking where the words come from" : "Scoring";
  const bar = at("progress");
  if (total) [bar.max, bar.value] = [total, done];
  else bar.removeAttribute("value");
}

async function score() {
  if (!picture) return fail("There is no picture yet; drop one, or choose a file.");
  running?.abort();
  const mine = (running = new AbortController());
  fail("");
  at("status").textContent = "Sending";
  at("progress").removeAttribute("value");
  at("progress").hidden = at("stop").hidden = false;
  try {
    const found = await ask(at("verdict").checked ? "verdict" : "score", mine.signal, form("score"));
    const result = { id: found.id, maps: null, caption: found.result.caption, picture };
    if (at("maps").checked) {
      const body = form("saliency");
      body.set("caption", result.caption);
      result.maps = (await ask("saliency", mine.signal, body)).id;
    }
    result.url = URL.createObjectURL(picture);
    results.unshift(result);
    for (const old of results.splice(24)) URL.revokeObjectURL(old.url);
    show(result);
    gallery();
    const written = found.result.generated ? "The model wrote: " : "";
    at("status").textContent = written ? `${written}“${result.caption}”` : "Done.";
  } catch (error) {
    if (running !== mine) return;
    if (error.name === "AbortError") at("status").textContent = "Stopped.";
    else {
      at("status").textContent = "";
      fail(error.message);
    }
  } finally {
    if (running === mine) {
      running = null;
      at("progress").hidden = at("stop").hidden = true;
    }
  }
}

function show({ id, maps }) {
  const base = `v1/results/${id}/`;
  const report = `${base}report.html${maps ? `?maps=${maps}` : ""}`;
  at("report").src = report;
  at("report").hidden = at("downloads").hidden = false;
  at("report-link").href = report;
  at("json-link").href = `${base}result.json`;
  at("png-link").href = `${base}figure.png`;
  at("pdf-link").href = `${base}figure.pdf`;
}

function gallery() {
  at("gallery").hidden = false;
  at("shown").replaceChildren(
    ...results.map((result) => {
      const image = Object.assign(document.createElement("img"), { src: result.url, alt: "" });
      const caption = Object.assign(document.createElement("span"), { textContent: result.caption });
      const button = document.createElement("button");
      button.append(image, caption);
      button.addEventListener("click", () => {
        choose(result.picture);
        at("caption").value = result.caption;
        show(result);
      });
      const item = document.createElement("li");
      item.append(button);
      return item;
    }),
  );
}

at("file").addEventListener("change", () => choose(at("file").files[0]));
at("form").addEventListener("submit", (event) => (event.preventDefault(), score()));
at("stop").addEventListener("click", () => running?.abort());
// Another outcome or reference is a click away: the model is there, and the picture too.
for (const name of [...CHOICES, "verdict", "maps"]) {
  at(name).addEventListener("change", () => results.length && score());
}
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") choose(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => choose(event.clipboardData.files[0]));
at("caption").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) score();
});
fetch("v1/model")
  .then((answer) => answer.json())
  .then(({ id, dtype, device }) => (at("model").textContent = `Model ${id}, ${dtype} on ${device}`));
