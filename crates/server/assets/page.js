// What the page does beyond links and forms: streams answers, opens passages, sends feedback, uploads files.
// Texts enter the page as text nodes, or as elements that the server has rendered and escaped.
"use strict";

document.documentElement.classList.add("scripted");

const find = (selector, within = document) => within.querySelector(selector);
const say = (words) => { find("#status").textContent = words; };

/** An element with a class, a text and children. */
function make(tag, className = "", text = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  element.append(...children);
  return element;
}

/** The message of a refusal, whatever form it came in. */
async function refusal(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `The server answered with status ${response.status}.`;
  }
}

/** The part of another page of ours that `selector` names. */
async function part(address, selector) {
  const response = await fetch(address, { headers: { accept: "text/html" } });
  if (!response.ok) throw new Error(`The server answered with status ${response.status}.`);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const found = page.querySelector(selector);
  if (!found) throw new Error("The server sent a page that has another form; reload this one.");
  return document.importNode(found, true);
}

// ── Asking ──────────────────────────────────────────────────────────────────────────────────────────────────

/** The data of each server-sent event of a response. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    waiting += value;
    const whole = waiting.split("\n\n");
    waiting = whole.pop();
    for (const event of whole) {
      const lines = event.split("\n").filter((line) => line.startsWith("data:"));
      if (lines.length) yield lines.map((line) => line.slice(5).trimStart()).join("\n");
    }
  }
}

let asking = null;

async function ask(question, model) {
  asking?.abort();
  const turn = asking = new AbortController();
  const text = make("p", "text");
  text.id = "answer-text";
  text.setAttribute("aria-busy", "true");
  const reading = make("p", "hint", "Looking for passages…");
  const article = make("article", "answer", "", make("h2", "question", question), text, reading);
  find("#result").replaceChildren(article);
  say("Looking for passages");
  try {
    const id = await stream(question, model, turn.signal, text, reading);
    const answer = await part(`/decisions/${encodeURIComponent(id)}`, "#answer");
    if (turn.signal.aborted) return;
    find("#result").replaceChildren(answer);
    say(find(".text", answer)?.textContent ?? "");
  } catch (error) {
    if (turn.signal.aborted) return;
    const notice = make("p", "notice bad", error.message);
    notice.setAttribute("role", "alert");
    text.removeAttribute("aria-busy");
    reading.remove();
    if (!text.textContent) text.remove();
    article.append(notice);
    say("");
  }
}

/** Shows the words as they come, and returns the answer's id. */
async function stream(question, model, signal, text, reading) {
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, stream: true, messages: [{ role: "user", content: question }] }),
    signal,
  });
  if (!response.ok) throw new Error(await refusal(response));
  let id = null;
  for await (const data of events(response)) {
    if (data === "[DONE]") return id;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Error(chunk.error.message);
    id = chunk.id;
    const found = chunk.burnish?.evidence;
    if (found) reading.textContent = found.length ? `Reading ${[...new Set(found.map((passage) => passage.title))].slice(0, 4).join(", ")}…` : "";
    text.append(chunk.choices[0]?.delta.content ?? "");
  }
  throw new Error("The answer broke off; ask again.");
}

const form = find("#ask");
if (form) {
  const question = find("#question");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const words = question.value.trim();
    if (!words) return;
    const model = find("#model").value;
    history.pushState(null, "", `/?${new URLSearchParams({ q: words, model })}`);
    ask(words, model);
  });
  question.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  addEventListener("popstate", () => location.reload());
}

// ── Passages and feedback ───────────────────────────────────────────────────────────────────────────────────

/** Opens a passage beside the answer. */
function openPassage(answer, chunk) {
  const passage = find(`.passage[data-chunk="${chunk}"]`, answer);
  if (!passage) return;
  const title = make("h2", "", find(".title", passage).textContent);
  title.id = "panel-title";
  const where = make("p", "where", find(".where", passage)?.textContent ?? "");
  const body = find(".body", passage).cloneNode(true);
  body.removeAttribute("id");
  const close = make("button", "", "Close");
  close.type = "button";
  const panel = make("dialog", "panel", "", make("div", "panel-head", "", title, close), where, body);
  panel.dataset.id = answer.dataset.id;
  panel.setAttribute("aria-labelledby", "panel-title");
  close.addEventListener("click", () => panel.close());
  panel.addEventListener("click", (event) => { if (event.target === panel) panel.close(); });
  panel.addEventListener("close", () => panel.remove());
  document.body.append(panel);
  panel.showModal();
  find("mark", panel)?.scrollIntoView({ block: "center" });
}

/** Sends a judgement and shows that it was kept; `pressed` are the buttons that show it, `others` its opposite. */
async function judge(id, judgement, pressed, others) {
  const buttons = [...pressed, ...others];
  buttons.forEach((button) => { button.disabled = true; });
  try {
    const response = await fetch("/v1/feedback", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ id, ...judgement }),
    });
    if (!response.ok) throw new Error(await refusal(response));
    pressed.forEach((button) => button.setAttribute("aria-pressed", "true"));
    others.forEach((button) => button.setAttribute("aria-pressed", "false"));
    const saved = find("#answer .saved");
    saved.textContent = "Saved, thank you.";
    saved.hidden = false;
    say("Feedback saved");
  } catch (error) {
    const saved = find("#answer .saved");
    saved.textContent = `Not saved: ${error.message}`;
    saved.hidden = false;
    say(`Feedback not saved: ${error.message}`);
  } finally {
    buttons.forEach((button) => { button.disabled = false; });
  }
}

document.addEventListener("click", (event) => {
  const answer = event.target.closest(".answer, .panel");
  const cite = event.target.closest(".cite");
  const thumb = event.target.closest("[data-thumb]");
  const holds = event.target.closest("[data-holds]");
  if (cite) {
    event.preventDefault();
    openPassage(answer, cite.dataset.chunk);
  } else if (thumb) {
    const others = [...answer.querySelectorAll("[data-thumb]")].filter((button) => button !== thumb);
    judge(answer.dataset.id, { thumb: thumb.dataset.thumb }, [thumb], others);
  } else if (holds) {
    const same = document.querySelectorAll(`[data-holds="${holds.dataset.holds}"]`);
    const correct = holds.getAttribute("aria-pressed") !== "true";
    const [pressed, others] = correct ? [[...same], []] : [[], [...same]];
    judge(answer.dataset.id, { chunk: Number(holds.dataset.holds), correct }, pressed, others);
  }
});

// ── Documents ───────────────────────────────────────────────────────────────────────────────────────────────

async function refreshList() {
  find("#list").replaceWith(await part(location.pathname + location.search, "#list"));
}

/** Sends one file, telling how far it is; `fetch` does not tell. */
function send(file, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/v1/documents");
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => {
      // Once all is sent it is read and embedded, for which there is no measure.
      if (event.loaded < event.total) progress.value = event.loaded / event.total;
      else progress.removeAttribute("value");
    });
    request.addEventListener("load", () => {
      if (request.status === 200) resolve(request.response);
      else reject(new Error(request.response?.error?.message ?? `the server answered with status ${request.status}`));
    });
    request.addEventListener("error", () => reject(new Error("the server could not be reached")));
    const body = new FormData();
    body.append("file", file);
    request.send(body);
  });
}

function uploaded({ documents, chunks, unchanged, refused }) {
  const results = [];
  if (documents) results.push(make("span", "done", `${documents === 1 ? "Stored" : `${documents} documents stored`}, ${chunks} passages`));
  else if (unchanged) results.push(make("span", "done", "It was there already"));
  for (const { reason } of refused.slice(0, 5)) results.push(make("span", "refused", `Refused: ${reason}`));
  if (refused.length > 5) results.push(make("span", "refused", `and ${refused.length - 5} more`));
  if (!results.length) results.push(make("span", "refused", "It holds no text"));
  return results;
}

async function upload(files) {
  const rows = [...files].map((file) => {
    const progress = make("progress");
    progress.max = 1;
    progress.value = 0;
    progress.setAttribute("aria-label", `Upload of ${file.name}`);
    const row = make("li", "", "", make("span", "name", file.name), progress);
    find("#uploads").append(row);
    return { file, progress, row };
  });
  for (const { file, progress, row } of rows) {
    try {
      const report = await send(file, progress);
      progress.replaceWith(...uploaded(report));
    } catch (error) {
      progress.replaceWith(make("span", "refused", `Not stored: ${error.message}`));
    }
    row.dataset.finished = "true";
    await refreshList();
  }
}

/** Asks before a document is removed. */
function confirmRemoval(title) {
  const dialog = find("#removal");
  find("[data-name]", dialog).textContent = title;
  dialog.returnValue = "keep";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "remove"), { once: true });
  });
}

const drop = find("#upload");
if (drop) {
  const files = find("#files");
  files.addEventListener("change", () => { upload(files.files); files.value = ""; });
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => { event.preventDefault(); upload(event.dataTransfer.files); });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-remove]");
    if (!button || !(await confirmRemoval(button.dataset.title))) return;
    const response = await fetch(`/v1/documents/${button.dataset.remove}`, { method: "DELETE" });
    say(response.ok ? `${button.dataset.title} was removed` : await refusal(response));
    await refreshList();
  });
}
