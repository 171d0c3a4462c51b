"use strict";
// A plot above each <table data-chart="line|bars|steps" data-chart-x="COLUMN">; the table stays, behind a fold.
// The column of x holds numbers, <time datetime> or names; each other column of numbers becomes a series. `data-value` on a cell
// gives its number where the text is written for people. The caption is the title. Colours are those of the style sheet.
(() => {
  const SERIES = 5;
  const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5]];
  const make = (name, className, parent) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    parent?.append(made);
    return made;
  };
  const colour = (place, name) => {
    const probe = make("i", "", place);
    probe.style.color = `var(${name})`;
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const number = (cell, whole = false) => {
    const text = (cell?.dataset.value ?? cell?.textContent ?? "").replace(/[\s\u00a0\u202f]|,(?=\d{3})/g, "").replace("\u2212", "-");
    const found = (whole ? /^[+-]?\d*\.?\d+(e[+-]?\d+)?$/i : /^[+-]?\d*\.?\d+(e[+-]?\d+)?/i).exec(text);
    return found ? Number(found[0]) : null;
  };
  const two = (value) => String(value).padStart(2, "0");
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const moment = (seconds, step) => {
    const at = new Date(seconds * 1000);
    const day = `${at.getDate()} ${MONTHS[at.getMonth()]}`;
    if (step >= 28 * 86400) return `${MONTHS[at.getMonth()]} ${at.getFullYear()}`;
    if (step >= 86400) return day;
    const hour = `${two(at.getHours())}:${two(at.getMinutes())}`;
    return step === 0 ? `${day} ${at.getFullYear()} ${hour}` : hour;
  };

  const read = (table) => {
    const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
    const heads = [...(table.tHead?.rows[0]?.cells ?? [])].map((head) => head.textContent.trim());
    const column = Number(table.dataset.chartX ?? 0);
    const cells = rows.map((row) => row.cells[column]);
    const times = cells.map((cell) => cell?.querySelector("time")?.dateTime);
    const timed = times.length > 0 && times.every(Boolean);
    let points = rows.map((row, index) => ({ row, x: timed ? Date.parse(times[index]) / 1000 : number(cells[index], true) }));
    const named = !timed && points.some(({ x }) => x === null);
    if (named) points = points.map(({ row }, index) => ({ row, x: index }));
    points = points.filter(({ x }) => Number.isFinite(x)).sort((one, other) => one.x - other.x);
    const series = heads.flatMap((name, index) => {
      if (index === column) return [];
      const values = points.map(({ row }) => number(row.cells[index]));
      return values.some((value) => value !== null) ? [{ name, values, index }] : [];
    });
    const names = points.map(({ row }) => row.cells[column]?.textContent.trim() ?? "");
    return { head: heads[column] ?? "", points, series: series.slice(0, SERIES), timed, named, names };
  };

  const written = ({ points, series, timed, names }, index) => {
    const at = timed ? moment(points[index].x, 0) : names[index];
    return [at, ...series.map((one) => {
      const cell = points[index].row.cells[one.index];
      return `${one.name} ${cell.textContent.trim() || "none"}`;
    })];
  };

  const together = ({ series }) => ["All together", ...series.map((one) => {
    const sum = one.values.reduce((all, value) => all + (value ?? 0), 0);
    return `${one.name} ${Number(sum.toPrecision(12))}`;
  })];

  // From zero where it is near, and always under bars, which would lie otherwise.
  const reach = (low, high, bars) => {
    const span = high - low || Math.abs(high) || 1;
    const fromZero = low >= 0 && (bars || low <= span);
    const toZero = high <= 0 && bars;
    return [fromZero ? 0 : low - span * 0.1, toZero ? 0 : high + span * 0.1];
  };

  const options = (table, plot, data, told) => {
    const [ink, line, ground] = ["--soft", "--line", "--surface"].map((name) => colour(plot, name));
    const kind = table.dataset.chart;
    const pair = data.series.length === 2;
    const paths = (index) => {
      if (kind === "bars") return uPlot.paths.bars({ size: [pair ? 0.36 : 0.7, 72], align: pair ? 2 * index - 1 : 0 });
      return kind === "steps" ? uPlot.paths.stepped({ align: 1 }) : undefined;
    };
    const size = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const font = `${Math.round(size * 0.8333)}px ${getComputedStyle(plot).fontFamily}`;
    const axis = { stroke: ink, font, ticks: { stroke: line, size: 5, width: 1 }, grid: { stroke: line, width: 1 } };
    const x = { ...axis, grid: { show: false }, size: size * 2.2, space: size * (data.timed ? 5 : 4) };
    if (data.timed) x.values = (_, splits, __, ___, step) => splits.map((at) => moment(at, step));
    if (data.named) {
      const longest = Math.max(...data.names.map((name) => name.length)) * size * 0.45 + size;
      const each = Math.max(1, Math.ceil((longest * data.points.length) / Math.max(plot.clientWidth - size * 4, 1)));
      x.splits = () => data.points.map((point) => point.x).filter((at) => at % each === 0);
      x.values = (_, splits) => splits.map((at) => data.names[at] ?? "");
    }
    const edges = kind === "bars" || data.named;
    const step = data.points.length > 1 ? Math.min(...data.points.slice(1).map((p, i) => p.x - data.points[i].x)) : 1;
    return {
      width: Math.max(plot.clientWidth, 120),
      height: Math.round(Math.min(Math.max(plot.clientWidth * 0.34, 240), size * 24)),
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 9, width: 2, fill: ground } },
      scales: {
        x: { time: data.timed, range: (_, low, high) => (edges ? [low - step * 0.6, high + step * 0.6] : low === high ? [low - 1, high + 1] : [low, high]) },
        y: { range: (_, low, high) => reach(low, high, kind === "bars") },
      },
      axes: [x, { ...axis, size: (_, values) => Math.max(...(values ?? []).map((value) => String(value).length), 2) * size * 0.52 + size * 0.9 }],
      series: [{}, ...data.series.map((one, index) => {
        const stroke = colour(plot, `--chart-${index + 1}`);
        return {
          label: one.name, stroke, width: kind === "bars" ? 1 : 2, paths: paths(index), dash: kind === "bars" ? undefined : DASHES[index],
          fill: kind === "bars" ? stroke.replace(/^rgb\((.*)\)$/, `rgba($1, ${data.series.length > 2 ? 0.4 : 0.85})`) : undefined,
          points: { show: kind === "line" && data.points.length <= 60, size: 6, fill: ground }, spanGaps: false,
        };
      })],
      hooks: { setCursor: [({ cursor }) => told(cursor.idx)] },
    };
  };

  const swatch = (parent, index) => {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    const line = document.createElementNS(space, "line");
    const given = { x1: 0, x2: 22, y1: 4, y2: 4, "stroke-width": 3, "stroke-dasharray": DASHES[index].join(" ") };
    for (const [name, value] of Object.entries(given)) line.setAttribute(name, value);
    line.style.stroke = `var(--chart-${index + 1})`;
    svg.setAttribute("aria-hidden", "true");
    svg.append(line);
    parent.append(svg);
  };

  const draw = (table) => {
    const data = read(table);
    if (data.points.length < 2 || !data.series.length || table.closest(".charted")) return;
    const title = table.caption?.textContent.trim() || "Plot of the table below";
    const shell = table.closest(".scroll") ?? table;
    const whole = make("div", "charted stack tight");
    const figure = make("figure", "chart", whole);
    make("figcaption", "", figure).textContent = title;
    const plot = make("div", "plot", figure);
    const readout = make("p", "readout", figure);
    const fold = make("details", "fold", whole);
    make("summary", "", fold).textContent = "The numbers";
    shell.replaceWith(whole);
    make("div", "", fold).append(shell);
    const last = data.points.length - 1;
    // Lines begin with their newest point. Bars begin with all of them together, until one is pointed at.
    const bars = table.dataset.chart === "bars";
    const rest = bars ? -1 : last;
    let at = rest;
    const tell = (index) => {
      at = index;
      const [when, ...values] = at < 0 ? together(data) : written(data, at);
      readout.replaceChildren();
      make("b", "", readout).textContent = when;
      values.forEach((text, series) => {
        const item = make("span", "", readout);
        if (data.series.length > 1) swatch(item, series);
        item.append(text);
      });
      plot.setAttribute("aria-valuenow", Math.max(at, 0));
      plot.setAttribute("aria-valuetext", [when, ...values].join("; "));
    };
    const given = { tabindex: 0, role: "slider", "aria-readonly": "true", "aria-label": `${title}. Arrow keys go from point to point.`, "aria-valuemin": 0, "aria-valuemax": last };
    for (const [name, value] of Object.entries(given)) plot.setAttribute(name, value);
    tell(rest);

    let shown = null;
    let wide = 0;
    const again = () => {
      shown?.destroy();
      wide = plot.clientWidth;
      shown = new uPlot(options(table, plot, data, (index) => tell(index ?? rest)), [data.points.map(({ x }) => x), ...data.series.map(({ values }) => values)], plot);
    };
    const point = (index) => {
      const found = Math.min(Math.max(index, 0), last);
      shown.setCursor({ left: shown.valToPos(data.points[found].x, "x"), top: 0 });
      tell(found);
    };
    plot.addEventListener("keydown", (event) => {
      const to = { ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1, Home: 0, End: last, PageUp: at + 10, PageDown: at - 10 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      point(to);
    });
    again();
    new ResizeObserver(() => plot.clientWidth && plot.clientWidth !== wide && again()).observe(plot);
    for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", again);
    document.fonts?.ready.then(again);
  };

  const all = () => document.querySelectorAll("table[data-chart]").forEach(draw);
  document.addEventListener("htmx:after:swap", all);
  all();
})();
