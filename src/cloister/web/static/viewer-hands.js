// Pointer, wheel, two fingers and keys on the picture: what they mean is told to `does`, which knows nothing of events.
const STEP = 60;
const CLICK = 5;

export function listen(view, scene, does) {
  const { canvas } = view;
  const fingers = new Map();
  let drag = null;
  let pinch = null;

  const between = () => {
    const [one, other] = [...fingers.values()];
    return { gap: Math.hypot(one.u - other.u, one.v - other.v), u: (one.u + other.u) / 2, v: (one.v + other.v) / 2 };
  };

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { u, v } = view.place(event);
    const lines = event.deltaMode === 1 ? 30 : 1;
    view.zoom(view.scale * Math.exp(-Math.max(-300, Math.min(300, event.deltaY * lines)) / 400), u, v);
  }, { passive: false });

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 1) return;
    canvas.setPointerCapture(event.pointerId);
    const place = view.place(event);
    fingers.set(event.pointerId, place);
    if (fingers.size === 2) {
      pinch = between();
      drag = null;
      does.cancel();
      return;
    }
    const mode = event.button === 1 ? "look" : does.mode();
    drag = { mode, first: place, last: place, moved: false, trail: [[place.x, place.y]] };
    canvas.classList.toggle("moves", mode === "look");
  });

  canvas.addEventListener("pointermove", (event) => {
    const place = view.place(event);
    if (fingers.has(event.pointerId)) fingers.set(event.pointerId, place);
    if (pinch && fingers.size === 2) {
      const now = between();
      view.zoom((view.scale * now.gap) / Math.max(pinch.gap, 1), now.u, now.v);
      view.move((pinch.u - now.u) / view.scale, (pinch.v - now.v) / view.scale);
      pinch = now;
    } else if (drag) {
      drag.moved ||= Math.hypot(place.u - drag.first.u, place.v - drag.first.v) > CLICK * view.ratio;
      if (!drag.moved) return;
      if (drag.mode === "look") {
        view.move((drag.last.u - place.u) / view.scale, (drag.last.v - place.v) / view.scale);
        drag.last = view.place(event);
      } else {
        drag.trail.push([place.x, place.y]);
        does.sketch(drag.mode, drag.trail);
      }
    } else if (event.pointerType !== "touch") {
      does.point(scene.at(place.x, place.y));
    }
  });

  const end = (event) => {
    fingers.delete(event.pointerId);
    if (fingers.size < 2) pinch = null;
    canvas.classList.remove("moves");
    const done = drag;
    drag = null;
    if (!done || event.type === "pointercancel") return does.cancel();
    if (done.moved && done.mode !== "look") return does.finish(done.mode, done.trail);
    if (!done.moved) return does.click(done.mode, scene.at(done.first.x, done.first.y), done.first, event.shiftKey);
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("pointerleave", () => drag || does.point(null));

  const next = (way) => {
    const numbers = [...scene.objects.values()].filter((one) => scene.shown(one)).map((one) => one.number);
    if (!numbers.length) return;
    const now = numbers.indexOf([...scene.chosen].at(-1));
    const found = scene.objects.get(numbers[now < 0 ? (way > 0 ? 0 : numbers.length - 1) : (now + way + numbers.length) % numbers.length]);
    does.choose(found, false);
    view.reveal(found);
  };

  const keys = {
    ArrowLeft: () => view.move((-STEP * view.ratio) / view.scale, 0),
    ArrowRight: () => view.move((STEP * view.ratio) / view.scale, 0),
    ArrowUp: () => view.move(0, (-STEP * view.ratio) / view.scale),
    ArrowDown: () => view.move(0, (STEP * view.ratio) / view.scale),
    "+": () => does.act("in"),
    "=": () => does.act("in"),
    "-": () => does.act("out"),
    0: () => does.act("fit"),
    1: () => does.act("whole"),
    n: () => next(1),
    p: () => next(-1),
    m: () => does.act("merge"),
    Delete: () => does.act("remove"),
    Backspace: () => does.act("remove"),
    Escape: () => does.choose(null, false),
  };
  canvas.addEventListener("keydown", (event) => {
    const commanded = event.ctrlKey || event.metaKey;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    let act = commanded ? null : keys[key];
    if (commanded && key === "z") act = () => does.act(event.shiftKey ? "redo" : "undo");
    if (commanded && key === "y") act = () => does.act("redo");
    if (!act || event.altKey) return;
    event.preventDefault();
    act();
  });
}
