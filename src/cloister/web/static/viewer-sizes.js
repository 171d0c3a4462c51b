// How many objects of each size, drawn from the same objects as the picture. Dragging over bars marks those in the picture and the
// table; what is chosen there is marked here. The two fields do the same without a pointer.
const BARS = 24;
const [WIDE, HIGH] = [600, 130];
const SVG = "http://www.w3.org/2000/svg";

const make = (name, given, parent) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(given)) made.setAttribute(key, value);
  parent?.append(made);
  return made;
};

export class Sizes {
  constructor(section, scene, changed) {
    this.section = section;
    this.scene = scene;
    this.changed = changed;
    this.range = null;
    this.from = section.querySelector("[data-from]");
    this.to = section.querySelector("[data-to]");
    this.svg = make("svg", { viewBox: `0 0 ${WIDE} ${HIGH + 1}`, class: "sizes", role: "img", preserveAspectRatio: "none" });
    this.feet = document.createElement("p");
    this.feet.className = "row apart small soft";
    section.querySelector("[data-bars]").append(this.svg, this.feet);
    for (const field of [this.from, this.to]) field.addEventListener("input", () => this.typed());
    section.querySelector("[data-clear]").addEventListener("click", () => this.choose(null));
    this.svg.addEventListener("pointerdown", (event) => this.brush(event));
    this.draw();
  }

  // Sizes of what the picture's edge does not cut: of the others nobody knows them.
  sized() {
    return [...this.scene.objects.values()].filter((one) => typeof one.diameter === "number" && !one.border);
  }

  draw() {
    const objects = this.sized();
    this.section.hidden = objects.length < 2;
    if (this.section.hidden) return;
    this.least = Math.min(...objects.map((one) => one.diameter));
    this.most = Math.max(...objects.map((one) => one.diameter));
    if (this.most - this.least <= 1e-6 * this.most) [this.least, this.most] = [this.least - 0.5, this.most + 0.5]; // rounding is no size
    this.width = (this.most - this.least) / BARS || 1;
    this.counts = Array.from({ length: BARS }, () => 0);
    for (const one of objects) this.counts[this.bar(one.diameter)] += 1;
    const highest = Math.max(...this.counts);
    this.svg.replaceChildren();
    this.svg.setAttribute("aria-label", `Sizes of ${objects.length} objects, ${this.figure(this.least)} to ${this.figure(this.most)} ${this.scene.unit}`);
    this.span = make("rect", { class: "span", y: 0, height: HIGH, width: 0 }, this.svg);
    this.bars = this.counts.map((count, index) => {
      const high = (count / highest) * (HIGH - 4);
      return make("rect", { class: "bar", x: (index * WIDE) / BARS + 1, width: WIDE / BARS - 2, y: HIGH - high, height: high }, this.svg);
    });
    make("line", { x1: 0, x2: WIDE, y1: HIGH, y2: HIGH }, this.svg);
    this.feet.replaceChildren(...[0, 0.5, 1].map((share) => {
      const foot = document.createElement("span");
      foot.textContent = `${this.figure(this.least + share * (this.most - this.least))} ${this.scene.unit}`;
      return foot;
    }));
    this.mark();
  }

  figure(value) {
    return String(Number(value.toPrecision(3)));
  }

  bar(diameter) {
    return Math.max(0, Math.min(BARS - 1, Math.floor((diameter - this.least) / this.width)));
  }

  brush(event) {
    event.preventDefault();
    this.svg.setPointerCapture(event.pointerId);
    const box = this.svg.getBoundingClientRect();
    const index = (one) => Math.max(0, Math.min(BARS - 1, Math.floor(((one.clientX - box.left) / box.width) * BARS)));
    const first = index(event);
    const moved = (one) => {
      const [low, high] = [Math.min(first, index(one)), Math.max(first, index(one))];
      this.choose([this.least + low * this.width, this.least + (high + 1) * this.width]);
    };
    moved(event);
    const over = () => {
      this.svg.removeEventListener("pointermove", moved);
      this.svg.removeEventListener("pointerup", over);
      this.svg.removeEventListener("pointercancel", over);
    };
    this.svg.addEventListener("pointermove", moved);
    this.svg.addEventListener("pointerup", over);
    this.svg.addEventListener("pointercancel", over);
  }

  typed() {
    const [from, to] = [this.from.value, this.to.value];
    this.choose(from === "" && to === "" ? null : [Number(from || 0), to === "" ? Infinity : Number(to)], true);
  }

  choose(range, typed = false) {
    this.range = range;
    if (!typed) {
      this.from.value = range ? this.figure(range[0]) : "";
      this.to.value = range ? this.figure(range[1]) : "";
    }
    this.mark();
    this.changed();
  }

  mark() {
    this.scene.marked.clear();
    if (this.range) {
      // The highest of all belongs to the last bar.
      const slack = this.width * 1e-6;
      for (const one of this.sized()) if (one.diameter >= this.range[0] - slack && one.diameter <= this.range[1] + slack) this.scene.marked.add(one.number);
    }
    const place = (value) => Math.max(0, Math.min(WIDE, ((value - this.least) / (this.width * BARS)) * WIDE));
    this.span?.setAttribute("x", this.range ? place(this.range[0]) : 0);
    this.span?.setAttribute("width", this.range ? Math.max(0, place(this.range[1]) - place(this.range[0])) : 0);
    const chosen = new Set([...this.scene.chosen].map((number) => this.scene.objects.get(number)).filter((one) => one && !one.border).map((one) => this.bar(one.diameter)));
    const inside = new Set([...this.scene.marked].map((number) => this.bar(this.scene.objects.get(number).diameter)));
    this.bars?.forEach((bar, index) => {
      bar.classList.toggle("in", inside.has(index));
      bar.classList.toggle("one", chosen.has(index));
    });
    this.section.querySelector("[data-marked]").textContent = this.range ? `${this.scene.marked.size} marked` : "";
  }
}
