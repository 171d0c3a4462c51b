// Where one looks, and drawing it. Places are pixels of the picture, the centre of its first pixel at (0, 0).
// A large picture is held at several sizes: each frame draws the smallest that is sharp enough, and outlines only where they are seen.
const COLOURS = { plain: "#56b4e9", agglomerate: "#e69f00", border: "#cc79a7", hand: "#00c08b" };
const LARGEST = 32;
const HALF = 0.5; // canvases count from the corner of the first pixel

export class View {
  constructor(canvas, scene) {
    this.canvas = canvas;
    this.scene = scene;
    this.context = canvas.getContext("2d", { alpha: false });
    this.levels = [];
    this.draft = null;
    this.frames = 0;
    this.fitting = true;
    this.resize();
    new ResizeObserver(() => this.resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.resize());
  }

  async load(address) {
    const image = new Image();
    image.src = address;
    await image.decode();
    let level = await createImageBitmap(image);
    this.levels = [level];
    this.draw();
    while (Math.max(level.width, level.height) > 1200) {
      level = await createImageBitmap(level, { resizeWidth: level.width >> 1, resizeHeight: level.height >> 1, resizeQuality: "medium" });
      this.levels.push(level);
    }
    this.draw();
  }

  resize() {
    const { width, height } = this.canvas.getBoundingClientRect();
    if (!width || !height) return;
    this.ratio = Math.min(devicePixelRatio || 1, 2);
    this.canvas.width = Math.round(width * this.ratio);
    this.canvas.height = Math.round(height * this.ratio);
    this.ground = getComputedStyle(this.canvas.parentElement).backgroundColor;
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
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = this.ground;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.setTransform(scale, 0, 0, scale, -this.x * scale, -this.y * scale);
    this.paintPicture();
    if (this.scene.show.outlines) this.paintOutlines();
    if (this.scene.show.numbers) this.paintNumbers();
    if (this.draft) {
      this.stroke(this.draft, "#000", 5);
      this.stroke(this.draft, "#ffe14d", 2.5);
    }
  }

  paintPicture() {
    const { width, height } = this.scene;
    if (!this.levels.length) return;
    const wanted = width * this.scale;
    const level = this.levels.findLast((one) => one.width >= wanted) ?? this.levels[0];
    this.context.imageSmoothingEnabled = this.scale < 3 * this.ratio;
    // Of the picture, only what is seen: the rest would be cut off after the work.
    const [l, t] = [Math.max(0, Math.floor(this.x + HALF)), Math.max(0, Math.floor(this.y + HALF))];
    const r = Math.min(width, Math.ceil(this.x + HALF + this.canvas.width / this.scale));
    const b = Math.min(height, Math.ceil(this.y + HALF + this.canvas.height / this.scale));
    if (r <= l || b <= t) return;
    const [kx, ky] = [level.width / width, level.height / height];
    this.context.drawImage(level, l * kx, t * ky, (r - l) * kx, (b - t) * ky, l - HALF, t - HALF, r - l, b - t);
  }

  *seen() {
    const [right, bottom] = [this.x + this.canvas.width / this.scale, this.y + this.canvas.height / this.scale];
    for (const one of this.scene.objects.values()) {
      if (one.right >= this.x && one.left <= right && one.bottom >= this.y && one.top <= bottom && this.scene.shown(one)) yield one;
    }
  }

  paintOutlines() {
    const paths = { plain: new Path2D(), agglomerate: new Path2D(), border: new Path2D(), hand: new Path2D() };
    const [marked, chosen] = [new Path2D(), new Path2D()];
    for (const one of this.seen()) {
      this.trace(paths[one.kind], one);
      if (this.scene.marked.has(one.number)) this.trace(marked, one);
      if (this.scene.chosen.has(one.number) || this.scene.pointed === one.number) this.trace(chosen, one);
    }
    for (const [kind, path] of Object.entries(paths)) {
      this.context.setLineDash(kind === "border" ? [(6 * this.ratio) / this.scale, (4 * this.ratio) / this.scale] : []);
      this.stroke(path, COLOURS[kind], 1.5);
    }
    this.context.setLineDash([]);
    this.stroke(marked, "#ffe14d", 2.5);
    this.stroke(chosen, "#000", 5);
    this.stroke(chosen, "#fff", 2.5);
  }

  trace(path, { points, left, right, top, bottom }) {
    // Of an outline of few canvas pixels, few corners are seen.
    const side = Math.max(right - left, bottom - top) * this.scale;
    const step = points.length < 48 ? 2 : side < 14 ? 8 : side < 50 ? 4 : 2;
    path.moveTo(points[0], points[1]);
    for (let i = step; i < points.length; i += step) path.lineTo(points[i], points[i + 1]);
    path.closePath();
  }

  stroke(path, colour, width) {
    this.context.strokeStyle = colour;
    this.context.lineWidth = (width * this.ratio) / this.scale;
    this.context.stroke(path);
  }

  paintNumbers() {
    const { context, scale } = this;
    const size = 12 * this.ratio;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.font = `600 ${size}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineWidth = 3 * this.ratio;
    context.strokeStyle = "#000";
    context.fillStyle = "#fff";
    for (const one of this.seen()) {
      if ((one.right - one.left) * scale < size * 1.2) continue;
      const [u, v] = [((one.left + one.right) / 2 - this.x) * scale, ((one.top + one.bottom) / 2 - this.y) * scale];
      context.strokeText(one.number, u, v);
      context.fillText(one.number, u, v);
    }
    context.setTransform(scale, 0, 0, scale, -this.x * scale, -this.y * scale);
  }
}
