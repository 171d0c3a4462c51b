"use strict";
// Two points in a picture of a scale: by clicks, or by the fields, whose arrow keys move them. Without script one types them.
(() => {
  const form = document.querySelector("form[data-scale]");
  if (!form) return;
  const stage = form.querySelector("[data-stage]");
  const said = form.querySelector("[data-said]");
  const width = Number(form.dataset.width);
  const height = Number(form.dataset.height);
  const field = (name) => form.elements.namedItem(name);
  const SPACE = "http://www.w3.org/2000/svg";
  const ARM = 12; // of a cross, pixels on the screen

  const make = (name, parent) => {
    const made = document.createElementNS(SPACE, name);
    parent.append(made);
    return made;
  };
  const drawing = make("svg", stage);
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  drawing.setAttribute("aria-hidden", "true");
  // Each twice: a dark line below a light one is seen on any ground.
  const lines = ["below", "above"].map((name) => {
    const made = make("path", drawing);
    made.setAttribute("class", name);
    made.setAttribute("vector-effect", "non-scaling-stroke");
    return made;
  });
  form.querySelector("[data-hands]").hidden = false;
  stage.classList.add("aims");

  const draw = () => {
    const [x1, y1, x2, y2] = ["x1", "y1", "x2", "y2"].map((name) => Number(field(name).value) || 0);
    const arm = (ARM * width) / (stage.clientWidth || width);
    const cross = (x, y) => `M${x - arm} ${y}H${x + arm}M${x} ${y - arm}V${y + arm}`;
    for (const line of lines) line.setAttribute("d", `M${x1} ${y1}L${x2} ${y2}${cross(x1, y1)}${cross(x2, y2)}`);
  };

  let next = 1;
  stage.addEventListener("click", (event) => {
    const place = stage.getBoundingClientRect();
    const x = Math.min(width, Math.max(0, ((event.clientX - place.left) / place.width) * width));
    const y = Math.min(height, Math.max(0, ((event.clientY - place.top) / place.height) * height));
    field(`x${next}`).value = x.toFixed(1);
    field(`y${next}`).value = y.toFixed(1);
    document.getElementById("way-points").checked = true;
    said.textContent = `${next === 1 ? "First" : "Second"} point at ${x.toFixed(1)}, ${y.toFixed(1)}.`;
    next = 3 - next;
    draw();
  });
  for (const name of ["x1", "y1", "x2", "y2"]) {
    field(name).addEventListener("input", () => {
      document.getElementById("way-points").checked = true;
      draw();
    });
  }
  for (const [name, way] of [["spacing", "lines"], ["length", "points"]]) {
    field(name)?.addEventListener("input", () => { document.getElementById(`way-${way}`).checked = true; });
  }
  window.addEventListener("resize", draw);
  draw();
})();
