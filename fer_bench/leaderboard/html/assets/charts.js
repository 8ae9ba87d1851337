// Drawings: intervals, lines, places in the plane.
const ticks = (low, high, count) => {
  const rough = (high - low || Math.abs(high) || 1) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-9; tick += step) found.push(Number(tick.toPrecision(10)));
  return found.map((tick) => [tick, tick.toFixed(Math.max(0, -Math.floor(Math.log10(step))))]);
};
const linear = (low, high, from, to) => (value) => from + ((value - low) / (high - low || 1)) * (to - from);

// Value and interval of a row, on the axis of its group, which stands in the head.
const drawIntervals = (section, group) => {
  const own = rows.slice(group.first, group.first + group.count);
  const range = bounds(own.flatMap((row) => [row.value, row.low, row.high]));
  const cells_ = [...section.querySelectorAll(".board")][0];
  if (!range) {
    for (const cell of cells_.querySelectorAll(".plot")) cell.remove();
    return;
  }
  const width = 190, low = range[0] * group.factor, high = range[1] * group.factor, pad = 0.06 * (high - low || Math.abs(high) || 1);
  const x = linear(low - pad, high + pad, 6, width - 6), marks = ticks(low, high, 3);
  const chance = group.chance === null ? null : group.chance * group.factor;
  const shown = chance !== null && chance >= low - pad && chance <= high + pad;
  const drawing = (height, ...parts) => svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" }, parts);
  const grid = (height) => marks.map(([at]) => svg("line", { class: "axis", x1: x(at), x2: x(at), y1: 0, y2: height }));
  const head = cells_.querySelector("th.plot");
  head.append(drawing(16, marks.map(([at, label]) => svg("text", { x: x(at), y: 12, "text-anchor": "middle" }, label))));
  cells_.querySelectorAll("tbody tr").forEach((line) => {
    const row = rows[line.dataset.row], at = line.querySelector("td.plot");
    if (row.value === null) return;
    const parts = grid(32);
    if (shown) parts.push(svg("line", { class: "axis", x1: x(chance), x2: x(chance), y1: 0, y2: 32, "stroke-dasharray": "2 3" }));
    if (row.low !== null) parts.push(svg("line", { x1: x(row.low * group.factor), x2: x(row.high * group.factor), y1: 16, y2: 16, stroke: "currentColor", "stroke-width": 2.5, "stroke-opacity": 0.55, "stroke-linecap": "round" }));
    parts.push(svg("circle", { cx: x(row.value * group.factor), cy: 16, r: 5, fill: "currentColor" }));
    const interval = row.low === null ? "no interval" : `95 % interval ${inUnit(group, row.low)} to ${inUnit(group, row.high)}`;
    const image = drawing(32, svg("title", {}, `${row.entry}: ${headline(group, row.value)}, ${interval}`), parts);
    image.classList.add(row.unsound ? "c1" : "c0");
    at.append(image);
  });
};

// Lines over a common axis; a line is {points: [[x, y], ...], colour, faint, dashed, band: [[x, low, high], ...], name}.
const lineChart = ({ lines: drawn, title, yLabel, xLabel, xTicks, zero, width = 340, height = 220 }) => {
  const every = drawn.flatMap((line) => [...line.points.map(([, y]) => y), ...(line.band ?? []).flatMap(([, low, high]) => [low, high])]);
  const yRange = bounds(zero ? [...every, 0] : every), xRange = bounds(drawn.flatMap((line) => line.points.map(([x]) => x)));
  if (!yRange || !xRange) return null;
  const left = 46, right = width - 8, top = 10, bottom = height - 36;
  const pad = 0.05 * (yRange[1] - yRange[0] || 1);
  const x = linear(xRange[0], xRange[1], left + 4, right - 4), y = linear(yRange[0] - (zero ? 0 : pad), yRange[1] + pad, bottom, top);
  const path = (points) => points.filter(([, value]) => value !== null && value !== undefined)
    .map(([at, value], number) => `${number ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  const image = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" }, svg("title", {}, title));
  for (const [tick, label] of ticks(yRange[0], yRange[1], 4)) {
    image.append(svg("line", { class: "axis", x1: left, x2: right, y1: y(tick), y2: y(tick) }),
      svg("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, label));
  }
  const marks = xTicks ?? ticks(xRange[0], xRange[1], 5).filter(([tick]) => Number.isInteger(tick));
  for (const [at, label] of marks) image.append(svg("text", { x: x(at), y: bottom + 15, "text-anchor": "middle" }, String(label)));
  image.append(svg("text", { x: (left + right) / 2, y: height - 4, "text-anchor": "middle" }, xLabel),
    svg("text", { x: 11, y: (top + bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 11 ${(top + bottom) / 2})` }, yLabel));
  for (const line of drawn) {
    const group = svg("g", { class: line.colour });
    const band = (line.band ?? []).filter(([, low]) => low !== null);
    if (band.length > 1) {
      const back = [...band].reverse().map(([at, low]) => [at, low]);
      group.append(svg("path", { d: `${path([...band.map(([at, , high]) => [at, high]), ...back])}Z`, fill: "currentColor", "fill-opacity": 0.13 }));
    }
    group.append(svg("path", { d: path(line.points), fill: "none", stroke: "currentColor", "stroke-width": line.faint ? 1 : 2.2,
      "stroke-opacity": line.faint ? 0.4 : 1, "stroke-linejoin": "round", "stroke-dasharray": line.dashed ? "5 4" : null }));
    if (line.dots || line.points.length === 1) {
      for (const [at, value] of line.points) group.append(svg("circle", { cx: x(at), cy: y(value), r: 3.2, fill: "currentColor" }));
    }
    if (line.name) group.append(svg("title", {}, line.name));
    image.append(group);
  }
  return image;
};

// Classes have a shape besides their colour.
const SHAPES = [
  "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0", "M-3.5 -3.5h7v7h-7z", "M0 -4.6L4.3 3.4H-4.3z", "M0 -4.8L4.8 0L0 4.8L-4.8 0z",
  "M0 4.6L4.3 -3.4H-4.3z", "M-1.5 -4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z", "M-4.5 -2h9v4h-9z", "M-2 -4.5h4v9h-4z",
];
const shape = (label, attributes = {}) => svg("path", { d: SHAPES[label % 8], class: `c${label % 8}`, fill: "currentColor", ...attributes });
const scatter = (places, classes, title, width = 320, height = 280) => {
  const [left, right] = bounds(places.x), [low, high] = bounds(places.y);
  const x = linear(left, right, 12, width - 12), y = linear(low, high, height - 12, 12);
  const image = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" }, svg("title", {}, title),
    svg("rect", { class: "axis", x: 0.5, y: 0.5, width: width - 1, height: height - 1, rx: 8 }));
  places.x.forEach((_, number) => {
    const wrong = places.wrong[number], label = places.label[number];
    image.append(shape(label, { transform: `translate(${x(places.x[number]).toFixed(1)} ${y(places.y[number]).toFixed(1)})`,
      "fill-opacity": wrong ? 0 : 0.85, stroke: "currentColor", "stroke-width": 1.4 }));
    image.lastChild.append(svg("title", {}, `${places.id[number]}: ${classes[label]}${wrong ? ", not recognised" : ""}`));
  });
  return image;
};
const legend = (items) => html("ul", { class: "legend" }, items.map(([mark, text]) => html("li", {},
  svg("svg", { width: 14, height: 12, viewBox: "-7 -6 14 12", "aria-hidden": "true" }, mark), text)));
const dash = (place, dashed) => svg("g", { class: place }, svg("path", { d: "M-7 0h14", stroke: "currentColor", "stroke-width": 2.5, "stroke-dasharray": dashed ? "4 3" : null }));
