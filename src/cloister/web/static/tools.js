"use strict";
// Pictures are dropped or chosen and looked at one by one, each with its own progress. Without script the form sends them all.
(() => {
  const form = document.querySelector("form[data-tool]");
  if (!form) return;
  const zone = form.querySelector("[data-drop]");
  const input = form.querySelector("input[type=file]");
  const choose = form.querySelector("[data-choose]");
  const list = form.querySelector("[data-uploads]");
  const said = form.querySelector("[data-said]");
  const results = document.getElementById("results");
  const AT_ONCE = 2;
  const TRIES = 20;

  // What this browser remembers: the size of a pixel, by tool.
  for (const field of form.querySelectorAll("[data-remember]")) {
    const key = `cloister-${field.dataset.remember}`;
    try {
      if (!field.value) field.value = localStorage.getItem(key) ?? "";
      field.addEventListener("change", () => {
        if (field.value.trim()) localStorage.setItem(key, field.value.trim());
        else localStorage.removeItem(key);
      });
    } catch {
      // A browser may keep nothing; the field works all the same.
    }
  }

  for (const plain of form.querySelectorAll("[data-plain]")) plain.hidden = true;
  input.hidden = true;
  choose.hidden = false;
  // The button beneath does what the label would; the whole window takes what is dropped.
  const title = zone.querySelector("label");
  title.removeAttribute("for");
  title.textContent = `Drop ${form.dataset.noun} here`;

  const waiting = [];
  let working = 0;

  const make = (name, className, parent, text = "") => {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.textContent = text;
    parent.append(made);
    return made;
  };

  const row = (file) => {
    const item = make("li", "", list);
    make("span", "upload-name", item, file.name);
    const bar = make("progress", "", item);
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", file.name);
    const state = make("span", "upload-state soft", item, "Waiting");
    return { item, bar, state };
  };

  const words = (problem) => [problem.title, problem.detail, problem.remedy].filter(Boolean).join(" ");

  const finish = ({ item, bar, state }, ok, text) => {
    bar.remove();
    item.className = ok ? "done" : "failed";
    state.className = ok ? "upload-state" : "upload-state bad-text";
    state.textContent = text;
  };

  const answered = (request, shown, job) => {
    let told = {};
    try {
      told = JSON.parse(request.responseText);
    } catch {
      // A proxy's page, perhaps: the status says enough.
    }
    if (request.status === 200) {
      const count = told.count === null ? "Done" : `${told.count} counted`;
      finish(shown, true, `${count} in ${Number(told.seconds).toFixed(1)} s`);
      const link = make("a", "", shown.item, "See the result");
      link.href = `/samples/${encodeURIComponent(told.id)}`;
      said.textContent = `${job.file.name}: ${count}`;
      htmx.trigger(results, "refresh");
      return;
    }
    if ((request.status === 429 || request.status === 503) && job.tries < TRIES) {
      const seconds = Math.min(Number(told.retry_after) || 3, 60);
      shown.state.textContent = `Busy; again in ${seconds} s`;
      job.tries += 1;
      setTimeout(() => { waiting.unshift(job); next(); }, seconds * 1000);
      return;
    }
    if (request.status === 401) {
      location.assign(`/sign-in?next=${encodeURIComponent(location.pathname)}`);
      return;
    }
    finish(shown, false, words(told) || "The server did not answer. Try again.");
    said.textContent = `${job.file.name}: ${words(told)}`;
  };

  const send = (job) => {
    const request = new XMLHttpRequest();
    const body = new FormData(form);
    body.delete("file");
    body.append("file", job.file, job.file.name);
    request.open("POST", `/api/v1/tools/${encodeURIComponent(form.dataset.tool)}/samples`);
    request.setRequestHeader("Accept", "application/json");
    job.shown.state.textContent = "Sending";
    request.upload.addEventListener("progress", (event) => {
      if (!event.lengthComputable) return;
      job.shown.bar.value = event.loaded / event.total;
      if (event.loaded === event.total) {
        job.shown.bar.removeAttribute("value");
        job.shown.state.textContent = "Looking at it";
      }
    });
    request.addEventListener("loadend", () => {
      working -= 1;
      answered(request, job.shown, job);
      next();
    });
    request.send(body);
  };

  const next = () => {
    while (working < AT_ONCE && waiting.length) {
      working += 1;
      send(waiting.shift());
    }
  };

  const take = (files) => {
    if (!files.length) return;
    if (!working && !waiting.length) list.replaceChildren();
    list.hidden = false;
    for (const file of files) waiting.push({ file, tries: 0, shown: row(file) });
    next();
  };

  choose.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    take([...input.files]);
    input.value = "";
  });
  form.addEventListener("submit", (event) => event.preventDefault());

  // The whole window takes what is dropped: gloves do not aim.
  let over = 0;
  addEventListener("dragenter", (event) => { event.preventDefault(); over += 1; zone.classList.add("over"); });
  addEventListener("dragleave", () => { over -= 1; if (over <= 0) zone.classList.remove("over"); });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    over = 0;
    zone.classList.remove("over");
    take([...(event.dataTransfer?.files ?? [])]);
  });
  // Also what was copied elsewhere.
  addEventListener("paste", (event) => take([...(event.clipboardData?.files ?? [])]));
})();
