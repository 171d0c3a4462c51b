// What is in the picture: objects with their outlines, which of them are shown, chosen or marked; and finding one by a place.

export class Scene {
  constructor(told) {
    this.width = told.width;
    this.height = told.height;
    this.unit = told.um_per_pixel === null ? "px" : "µm";
    this.objects = new Map();
    this.chosen = new Set();
    this.marked = new Set();
    this.pointed = null;
    this.show = { outlines: true, numbers: false, agglomerates: true, border: true };
    this.take(told);
  }

  // Applies what a server told: numbers that went, objects that came.
  take({ removed = [], objects }) {
    for (const number of removed) {
      this.objects.delete(number);
      this.chosen.delete(number);
      this.marked.delete(number);
    }
    for (const one of objects) {
      const points = Float32Array.from(one.points.flat());
      let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
      let doubled = 0;
      for (let i = 0, j = points.length - 2; i < points.length; j = i, i += 2) {
        left = Math.min(left, points[i]);
        right = Math.max(right, points[i]);
        top = Math.min(top, points[i + 1]);
        bottom = Math.max(bottom, points[i + 1]);
        doubled += points[j] * points[i + 1] - points[i] * points[j + 1];
      }
      const kind = one.by_hand ? "hand" : one.border ? "border" : one.agglomerate ? "agglomerate" : "plain";
      this.objects.set(one.number, { ...one, points, left, top, right, bottom, size: Math.abs(doubled) / 2, kind });
    }
    if (!this.objects.has(this.pointed)) this.pointed = null;
  }

  shown(one) {
    return (this.show.agglomerates || !one.agglomerate) && (this.show.border || !one.border);
  }

  // The smallest object that covers a place, so that one upon another can be pointed at.
  at(x, y) {
    let best = null;
    for (const one of this.objects.values()) {
      if (x < one.left || x > one.right || y < one.top || y > one.bottom) continue;
      if ((best === null || one.size < best.size) && this.shown(one) && covers(one.points, x, y)) best = one;
    }
    return best;
  }

  // The object that a stroke from one place to another cuts right across; of several, the one it cuts longest.
  across(from, to) {
    let best = null;
    let longest = 0;
    for (const one of this.objects.values()) {
      if (!this.shown(one) || covers(one.points, ...from) || covers(one.points, ...to)) continue;
      let inside = 0;
      for (let step = 1; step < 100; step += 1) {
        const x = from[0] + ((to[0] - from[0]) * step) / 100;
        const y = from[1] + ((to[1] - from[1]) * step) / 100;
        if (x >= one.left && x <= one.right && y >= one.top && y <= one.bottom && covers(one.points, x, y)) inside += 1;
      }
      if (inside > longest) [best, longest] = [one, inside];
    }
    return best;
  }

  // In words, for the line beneath the picture.
  words(one) {
    const figure = (value) => (typeof value === "number" ? `${Number(value.toPrecision(3))}\u00a0${this.unit}` : "not known");
    const said = [`Number ${one.number}: diameter ${figure(one.diameter)}`, `Feret ${figure(one.feret)}`];
    if (one.agglomerate) said.push(`in agglomerate ${one.agglomerate}`);
    if (one.border) said.push("cut by the edge");
    if (one.by_hand) said.push("by hand");
    return said.join(", ");
  }
}

function covers(points, x, y) {
  let inside = false;
  for (let i = 0, j = points.length - 2; i < points.length; j = i, i += 2) {
    const [xi, yi, xj, yj] = [points[i], points[i + 1], points[j], points[j + 1]];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}
