// A result's picture to look into and to correct. It draws what the server tells of the result and sends it corrections; without
// script, or where the server tells nothing, the picture with outlines, the table and the forms beneath stay.
import { Cleaned } from "./viewer-cleaned.js";
import { listen } from "./viewer-hands.js";
import { Scene } from "./viewer-scene.js";
import { Sizes } from "./viewer-sizes.js";
import { View } from "./viewer-view.js";

const root = document.querySelector("[data-viewer]");
const address = `/api/v1/samples/${encodeURIComponent(root.dataset.viewer)}/corrections`;
const part = (name) => root.querySelector(`[data-${name}]`);
const button = (name) => root.querySelector(`[data-do="${name}"]`);
const told = part("told");
const rows = document.getElementById("by-hand");
const MOST_CORNERS = 200;

const answer = await fetch(address, { headers: { Accept: "application/json" } });
if (answer.ok) begin(await answer.json());

function begin(state) {
  const scene = new Scene(state);
  part("live").hidden = false;
  part("plain").hidden = true;
  const view = new View(root.querySelector("canvas"), scene);
  root.view = view; // for measuring how many frames are drawn
  const cleaned = new Cleaned(root, view);
  if (root.dataset.picture) {
    view.load(root.dataset.picture).then((levels) => cleaned.original(levels)).catch(() => { told.textContent = "The picture could not be drawn; the outlines are there."; });
  }
  const sizes = new Sizes(document.querySelector("[data-histogram]"), scene, () => refresh());
  let version = state.version;
  let busy = false;
  let pending = null;
  let diameter = null;

  const mode = () => root.querySelector("[name=viewer-mode]:checked")?.value ?? "look";

  function refresh() {
    view.draw();
    const chosen = [...scene.chosen];
    for (const [name, off] of [["remove", !chosen.length], ["merge", chosen.length < 2], ["undo", !state.can_undo], ["redo", !state.can_redo]]) {
      if (button(name)) button(name).disabled = busy || off;
    }
    for (const row of rows.querySelectorAll("tr[data-number]")) {
      const number = Number(row.dataset.number);
      row.classList.toggle("marked", scene.marked.has(number));
      row.classList.toggle("chosen", scene.chosen.has(number));
    }
    say();
  }

  function say() {
    const one = scene.objects.get(scene.pointed ?? [...scene.chosen].at(-1));
    const several = scene.pointed === null && scene.chosen.size > 1;
    told.textContent = several ? `${scene.chosen.size} chosen: ${[...scene.chosen].slice(0, 20).join(", ")}` : one ? scene.words(one) : `${scene.objects.size} objects`;
  }

  function problem(text, again = false) {
    part("problem").hidden = !text;
    part("problem-text").textContent = text;
    button("again").hidden = !again;
  }

  // Corrections ---------------------------------------------------------------------------------------------------------

  async function send(edit) {
    if (busy || !("corrects" in root.dataset)) return;
    busy = true;
    pending = null;
    problem("");
    refresh();
    const body = JSON.stringify({ after: version, key: drawn(), edit });
    try {
      const got = await fetch(address, { method: "POST", headers: { "Content-Type": "application/json", Accept: "application/json" }, body });
      const said = await got.json().catch(() => ({}));
      if (got.ok) took(said, edit);
      else if (got.status === 409) await conflict(said, edit);
      else problem([said.title, said.detail, said.remedy].filter((text) => typeof text === "string").join(" ") || "The server did not take it. Try again.");
    } catch {
      problem("The server did not answer. Whether it was done is seen after loading the page again.");
    }
    busy = false;
    refresh();
  }

  function took(said, edit) {
    state = said;
    version = said.version;
    scene.take(said);
    scene.chosen = new Set(["split", "merge", "add", "add-disc", "reshape"].includes(edit.kind) ? said.objects.map((one) => one.number) : []);
    view.changed();
    sizes.draw();
    cleaned.outdated();
    htmx.trigger(rows, "refresh");
  }

  async function conflict(said, edit) {
    // What others did is shown at once; what this person wanted is kept to be done again.
    const got = await fetch(address, { headers: { Accept: "application/json" } });
    if (got.ok) {
      state = await got.json();
      const others = state.version !== version;
      version = state.version;
      scene.take({ removed: [...scene.objects.keys()], objects: state.objects });
      view.changed();
      sizes.draw();
      cleaned.outdated();
      htmx.trigger(rows, "refresh");
      pending = others ? edit : null;
    }
    problem([said.title, said.detail, said.remedy].filter((text) => typeof text === "string").join(" "), pending !== null);
  }

  const drawn = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (one) => one.toString(16).padStart(2, "0")).join("");

  // What people do ------------------------------------------------------------------------------------------------------

  const round = (points) => points.map((pair) => pair.map((value) => Math.round(value * 100) / 100));
  const acts = {
    in: () => view.zoom(view.scale * 1.4),
    out: () => view.zoom(view.scale / 1.4),
    fit: () => view.fit(),
    whole: () => view.zoom(view.ratio),
    remove: () => scene.chosen.size && send({ kind: "remove", numbers: [...scene.chosen] }),
    merge: () => scene.chosen.size > 1 && send({ kind: "merge", numbers: [...scene.chosen] }),
    undo: () => state.can_undo && send({ kind: "undo" }),
    redo: () => state.can_redo && send({ kind: "redo" }),
    again: () => pending && send(pending),
  };

  const does = {
    mode,
    act: (name) => acts[name](),
    point: (one) => {
      if (scene.pointed === (one?.number ?? null)) return;
      scene.pointed = one?.number ?? null;
      view.draw();
      say();
    },
    choose: (one, also) => {
      if (!also) scene.chosen.clear();
      if (one && also && scene.chosen.has(one.number)) scene.chosen.delete(one.number);
      else if (one) scene.chosen.add(one.number);
      sizes.mark();
      refresh();
    },
    click: (how, one, place, also) => {
      if (how === "add" && diameter) send({ kind: "add-disc", ...disc([place.x, place.y], diameter / 2) });
      else does.choose(one, also);
    },
    cancel: () => {
      view.draft = null;
      view.draw();
    },
    sketch: (how, trail) => {
      const path = new Path2D();
      const [first, last] = [trail[0], trail.at(-1)];
      if (how === "add") path.arc(...first, Math.hypot(last[0] - first[0], last[1] - first[1]), 0, 2 * Math.PI);
      else {
        path.moveTo(...first);
        for (const point of how === "cut" ? [last] : trail) path.lineTo(...point);
        if (how === "draw") path.closePath();
      }
      view.draft = path;
      view.draw();
    },
    finish: (how, trail) => {
      does.cancel();
      const [first, last] = [trail[0], trail.at(-1)];
      if (how === "add") {
        const radius = Math.hypot(last[0] - first[0], last[1] - first[1]);
        diameter = 2 * radius;
        send({ kind: "add-disc", ...disc(first, radius) });
      } else if (how === "cut") {
        const one = scene.across(first, last);
        if (one) send({ kind: "split", number: one.number, line: round([first, last]) });
        else problem("The stroke cuts no object right across. Begin and end it outside of one.");
      } else if (how === "draw") {
        const every = Math.ceil(trail.length / MOST_CORNERS);
        const points = round(trail.filter((_, index) => index % every === 0));
        if (points.length > 2) send({ kind: "add", points });
      }
    },
  };
  const disc = ([x, y], radius) => ({ x: Math.round(x * 100) / 100, y: Math.round(y * 100) / 100, diameter: Math.max(1, Math.round(radius * 200) / 100) });

  listen(view, scene, does);
  root.addEventListener("click", (event) => {
    const name = event.target.closest("[data-do]")?.dataset.do;
    if (name) acts[name]();
  });
  root.addEventListener("change", (event) => {
    const name = event.target.dataset?.show;
    if (name) scene.show[name] = event.target.checked;
    view.canvas.classList.toggle("aims", mode() !== "look");
    view.changed();
  });
  rows.addEventListener("click", (event) => {
    const one = scene.objects.get(Number(event.target.closest("[data-object]")?.dataset.object));
    if (!one) return;
    event.preventDefault();
    does.choose(one, event.shiftKey);
    view.reveal(one);
    view.canvas.scrollIntoView({ block: "nearest" });
  });
  document.addEventListener("htmx:after:swap", refresh);
  refresh();
}
