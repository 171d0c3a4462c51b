// Where one looks, and drawing it. Places are pixels of the picture, the centre of its first pixel at (0, 0).
// A large picture is held at several sizes, of which the smallest that is sharp enough is drawn. Picture and outlines are drawn once
// for what is seen and a margin around it; moving shifts that sheet, zooming stretches it until the hand rests.
const COLOURS = { plain: "#56b4e9", agglomerate: "#e69f00", border: "#cc79a7", hand: "#00c08b" };
const LARGEST = 32;
const MARGIN = 0.35; // of the canvas's sides, on each side of it
const RESTS = 90; // milliseconds after the last zoom
const HALF = 0.5; // canvases count from the corner of the first pixel

export class View {
  constructor(canvas, scene) {
    this.canvas = canvas;
    this.scene = scene;
    this.context = canvas.getContext("2d", { alpha: false });
    this.levels = [];
    this.draft = null;
    this.sheet = document.createElement("canvas");
    this.drawn = null; // which part of the picture the sheet has, at which scale
    this.zoomed = 0;
    this.frames = 0;
    this.fitting = true;
    this.resize();
    new ResizeObserver(() => this.resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.resize());
  }

  // Shows a picture, of an address or of bytes; gives what `use` takes to show it again.
  async load(source) {
    let level;
    if (typeof source === "string") {
      const image = new Image();
      image.src = source;
      await image.decode();
      level = await createImageBitmap(image);
    } else level = await createImageBitmap(source);
    const levels = [level];
    this.use(levels);
    while (Math.max(level.width, level.height) > 1200) {
      level = await createImageBitmap(level, { resizeWidth: level.width >> 1, resizeHeight: level.height >> 1, resizeQuality: "medium" });
      levels.push(level);
    }
    this.changed();
    return levels;
  }

  use(levels) {
    this.levels = levels;
    this.changed();
  }

  resize() {
    const { width, height } = this.canvas.getBoundingClientRect();
    if (!width || !height) return;
    this.ratio = Math.min(devicePixelRatio || 1, 2);
    this.canvas.width = Math.round(width * this.ratio);
    this.canvas.height = Math.round(height * this.ratio);
    this.ground = getComputedStyle(this.canvas.parentElement).backgroundColor;
    this.drawn = null;
    if (this.fitting) this.fit();
    else this.draw();
  }

  get least() {
    return Math.min(this.canvas.width / this.scene.width, this.canvas.height / this.scene.height);
  }

  fit() {
    this.scale = this.least;
    this.x = (this.scene.width - this.canvas.width / this.scale) / 2 - HALF;
    this.y = (this.scene.height - this.canvas.height / this.scale) / 2 - HALF;
    this.fitting = true;
    this.draw();
  }

  // `scale` is canvas pixels for a picture's pixel; the place under (u, v) of the canvas stays there.
  zoom(scale, u = this.canvas.width / 2, v = this.canvas.height / 2) {
    const [x, y] = [this.x + u / this.scale, this.y + v / this.scale];
    this.zoomed = performance.now();
    this.scale = Math.min(LARGEST * this.ratio, Math.max(this.least / 2, scale));
    this.move(x - u / this.scale - this.x, y - v / this.scale - this.y);
  }

  move(dx, dy) {
    // The middle of the window never leaves the picture.
    const [w, h] = [this.canvas.width / this.scale / 2, this.canvas.height / this.scale / 2];
    this.x = Math.min(this.scene.width - w, Math.max(-w, this.x + dx));
    this.y = Math.min(this.scene.height - h, Math.max(-h, this.y + dy));
    this.fitting = false;
    this.draw();
  }

  // Brings an object into the window if it is not there.
  reveal(one) {
    const [w, h] = [this.canvas.width / this.scale, this.canvas.height / this.scale];
    if (one.left >= this.x && one.right <= this.x + w && one.top >= this.y && one.bottom <= this.y + h) this.draw();
    else this.move((one.left + one.right - w) / 2 - this.x, (one.top + one.bottom - h) / 2 - this.y);
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const [u, v] = [(event.clientX - box.left) * this.ratio, (event.clientY - box.top) * this.ratio];
    return { u, v, x: this.x + u / this.scale, y: this.y + v / this.scale };
  }

  // What the sheet shows is no longer so.
  changed() {
    this.drawn = null;
    this.draw();
  }

  draw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.paint();
      this.frames += 1;
    });
  }

  paint() {
    const { context, canvas, scale } = this;
    const zooming = performance.now() - this.zoomed < RESTS && this.drawn !== null && this.drawn.scale !== scale;
    if (zooming) {
      clearTimeout(this.later);
      this.later = setTimeout(() => this.draw(), RESTS);
    } else if (!this.holds()) this.paintSheet();
    const { drawn, sheet } = this;
    this.lay(context, this.x, this.y, canvas);
    if (zooming) this.paintPicture(context, this.x, this.y, canvas);
    context.imageSmoothingEnabled = zooming;
    context.setTransform(1, 0, 0, 1, 0, 0);
    const grown = scale / drawn.scale;
    const [left, top] = [(drawn.x - this.x) * scale, (drawn.y - this.y) * scale];
    if (zooming) context.drawImage(sheet, left, top, sheet.width * grown, sheet.height * grown);
    else context.drawImage(sheet, Math.round(left), Math.round(top));
    context.setTransform(scale, 0, 0, scale, -this.x * scale, -this.y * scale);
    this.paintChosen();
    if (this.draft) {
      this.stroke(context, this.draft, "#000", 5);
      this.stroke(context, this.draft, "#ffe14d", 2.5);
    }
  }

  // Whether all that is seen is on the sheet.
  holds() {
    const { drawn, canvas, scale } = this;
    if (drawn === null || drawn.scale !== scale) return false;
    const [dx, dy] = [(this.x - drawn.x) * scale, (this.y - drawn.y) * scale];
    return dx >= 0 && dy >= 0 && dx + canvas.width <= this.sheet.width && dy + canvas.height <= this.sheet.height;
  }

  paintSheet() {
    const { canvas, sheet, scale } = this;
    const [wide, high] = [Math.round(canvas.width * (1 + 2 * MARGIN)), Math.round(canvas.height * (1 + 2 * MARGIN))];
    if (sheet.width !== wide) sheet.width = wide;
    if (sheet.height !== high) sheet.height = high;
    const context = sheet.getContext("2d", { alpha: false });
    const [x, y] = [this.x - (wide - canvas.width) / 2 / scale, this.y - (high - canvas.height) / 2 / scale];
    this.drawn = { x, y, scale };
    this.lay(context, x, y, sheet);
    this.paintPicture(context, x, y, sheet);
    if (this.scene.show.outlines) this.paintOutlines(context, x, y, sheet);
    if (this.scene.show.numbers) this.paintNumbers(context, x, y, sheet);
  }

  lay(context, x, y, { width, height }) {
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = this.ground;
    context.fillRect(0, 0, width, height);
    context.setTransform(this.scale, 0, 0, this.scale, -x * this.scale, -y * this.scale);
  }

  paintPicture(context, x, y, window) {
    const { width, height } = this.scene;
    if (!this.levels.length) return;
    const wanted = width * this.scale;
    const level = this.levels.findLast((one) => one.width >= wanted) ?? this.levels[0];
    context.imageSmoothingEnabled = this.scale < 3 * this.ratio;
    // Of the picture, only what is seen: the rest would be cut off after the work.
    const [l, t] = [Math.max(0, Math.floor(x + HALF)), Math.max(0, Math.floor(y + HALF))];
    const r = Math.min(width, Math.ceil(x + HALF + window.width / this.scale));
    const b = Math.min(height, Math.ceil(y + HALF + window.height / this.scale));
    if (r <= l || b <= t) return;
    const [kx, ky] = [level.width / width, level.height / height];
    context.drawImage(level, l * kx, t * ky, (r - l) * kx, (b - t) * ky, l - HALF, t - HALF, r - l, b - t);
  }

  *seen(x, y, window) {
    const [right, bottom] = [x + window.width / this.scale, y + window.height / this.scale];
    for (const one of this.scene.objects.values()) {
      if (one.right >= x && one.left <= right && one.bottom >= y && one.top <= bottom && this.scene.shown(one)) yield one;
    }
  }

  paintOutlines(context, x, y, window) {
    const dashes = [(6 * this.ratio) / this.scale, (4 * this.ratio) / this.scale];
    // Each by itself: one long path costs as much as all the ground between its parts.
    for (const one of this.seen(x, y, window)) {
      const path = new Path2D();
      this.trace(path, one);
      if (one.kind === "border") context.setLineDash(dashes);
      this.stroke(context, path, COLOURS[one.kind], 1.5);
      if (one.kind === "border") context.setLineDash([]);
    }
  }

  paintChosen() {
    const { chosen, marked, pointed } = this.scene;
    for (const one of this.seen(this.x, this.y, this.canvas)) {
      const strong = chosen.has(one.number) || pointed === one.number;
      if (!strong && !marked.has(one.number)) continue;
      const path = new Path2D();
      this.trace(path, one);
      if (strong) this.stroke(this.context, path, "#000", 5);
      this.stroke(this.context, path, strong ? "#fff" : "#ffe14d", 2.5);
    }
  }

  trace(path, { points, left, right, top, bottom }) {
    // Of an outline of few canvas pixels, few corners are seen.
    const side = Math.max(right - left, bottom - top) * this.scale;
    const step = points.length < 48 ? 2 : side < 14 ? 8 : side < 50 ? 4 : 2;
    path.moveTo(points[0], points[1]);
    for (let i = step; i < points.length; i += step) path.lineTo(points[i], points[i + 1]);
    path.closePath();
  }

  stroke(context, path, colour, width) {
    context.strokeStyle = colour;
    context.lineWidth = (width * this.ratio) / this.scale;
    context.stroke(path);
  }

  paintNumbers(context, x, y, window) {
    const { scale } = this;
    const size = 12 * this.ratio;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.font = `600 ${size}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineWidth = 3 * this.ratio;
    context.strokeStyle = "#000";
    context.fillStyle = "#fff";
    for (const one of this.seen(x, y, window)) {
      if ((one.right - one.left) * scale < size * 1.2) continue;
      const [u, v] = [((one.left + one.right) / 2 - x) * scale, ((one.top + one.bottom) / 2 - y) * scale];
      context.strokeText(one.number, u, v);
      context.fillText(one.number, u, v);
    }
  }
}
