// The figures below a table, of the rows that the filter leaves.
const visible = (group) => [...Array(group.count).keys()].map((number) => group.first + number).filter((row) => shownRows.has(row));
const about = (text) => html("p", { class: "about" }, text);
const multiple = (title, ...children) => html("figure", {}, html("h4", {}, title), children);
const scrolled = (label, child) => html("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": label }, child);
const WIDE = 60; // folds of a row that have a button each; of more, dots

const folds = (group) => {
  const own = visible(group), every = own.flatMap((row) => cellsOfRow[row]);
  const range = bounds(every.map((cell) => cells.value[cell]));
  if (Math.max(...own.map((row) => cellsOfRow[row].length)) > WIDE) return [about(`${group.head} of every cell, each a dot; the line is their mean. A cell opens from the table of all cells.`), dots(group, own, range)];
  const first = cellsOfRow[own[0]], seeds = new Set(every.map((cell) => cells.seed[cell])).size > 1;
  const label = (cell) => (seeds ? `${cells.fold[cell]}.${cells.seed[cell]}` : String(cells.fold[cell]));
  const share = (cell) => 0.08 + 0.92 * (range[1] > range[0] ? (cells.value[cell] - range[0]) / (range[1] - range[0]) : 0.5);
  const button = (cell) => {
    const known = cells.value[cell] !== null, state = stateOf(cell), depth = known ? (group.lower ? 1.08 - share(cell) : share(cell)) : 0;
    const text = known ? inUnit({ ...group, digits: Math.max(0, group.digits - 1) }, cells.value[cell]) : state === "missing" ? "–" : state;
    return html("td", {}, html("button", { type: "button", share: depth.toFixed(3), onclick: () => openCell(cell),
      class: known ? `heat${depth >= 0.7 ? " strong" : ""}` : `none ${state === "failed" || state === "oom" || state === "timeout" ? "failed" : ""}`,
      "aria-label": `Open ${nameOf(cell)}: ${known ? headline(group, cells.value[cell]) : state}` }, text));
  };
  const table = html("table", { class: "strip" },
    html("thead", {}, html("tr", {}, html("th", { scope: "col" }, seeds ? "fold.seed" : "fold"), first.map((cell) => html("th", { scope: "col" }, label(cell))))),
    html("tbody", {}, own.map((row) => html("tr", {}, html("th", { scope: "row" }, rows[row].entry), cellsOfRow[row].map(button)))));
  return [about(`${group.head}${group.unit ? ` (${group.unit})` : ""} of each fold, the stronger the colour the better; a number opens its cell.`), scrolled("Folds", table)];
};
const dots = (group, own, range) => {
  if (!range) return "";
  const width = 860, left = 150, height = 26 * own.length + 24, x = linear(range[0], range[1], left + 8, width - 12);
  const image = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" }, svg("title", {}, `${group.head} of every cell`));
  for (const [tick, label] of ticks(range[0] * group.factor, range[1] * group.factor, 6)) {
    const at = x(tick / group.factor);
    image.append(svg("line", { class: "axis", x1: at, x2: at, y1: 0, y2: height - 18 }), svg("text", { x: at, y: height - 4, "text-anchor": "middle" }, label));
  }
  own.forEach((row, number) => {
    const values = cellsOfRow[row].map((cell) => cells.value[cell]).filter((value) => value !== null), y = 26 * number + 13;
    image.append(svg("text", { class: "ink", x: left - 6, y: y + 4, "text-anchor": "end" }, rows[row].entry));
    if (!values.length) return;
    // Every dot has its own height, the same each time, so that equal values do not hide each other.
    const path = values.map((value, place) => `M${x(value).toFixed(1)} ${(y + 8 * (((place * 0.618034) % 1) - 0.5) * 2).toFixed(1)}h0`).join("");
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    image.append(svg("g", { class: colour(row) }, svg("path", { d: path, stroke: "currentColor", "stroke-width": 3, "stroke-linecap": "round", "stroke-opacity": values.length > 300 ? 0.25 : 0.55 }),
      svg("line", { x1: x(mean), x2: x(mean), y1: y - 11, y2: y + 11, stroke: "currentColor", "stroke-width": 2.5 })));
  });
  return scrolled("Cells", image);
};

const quantities = (found) => {
  const losses = Object.keys(found.values).filter((name) => name.endsWith("/loss"));
  const others = Object.keys(found.values).filter((name) => name.startsWith("val/") && name !== "val/loss");
  return [losses, others.slice(0, 1)].filter((names) => names.length);
};
const curveCharts = (known, faint) => {
  // Validation is drawn, training dashed; of several cells each is faint and their mean is not.
  const charts = quantities(known[0]).map((names) => {
    const drawn = names.flatMap((name) => {
      const place = name.startsWith("train/") ? "c1" : "c0", sums = new Map();
      const singles = known.map((found) => {
        const points = found.epochs.map((epoch, number) => [epoch, found.values[name]?.[number]]).filter(([, value]) => value !== null && value !== undefined);
        for (const [epoch, value] of points) sums.set(epoch, [...(sums.get(epoch) ?? []), value]);
        return { points, colour: place, faint, dashed: place === "c1" };
      });
      if (!faint || known.length === 1) return singles.map((single) => ({ ...single, faint: false }));
      const mean = [...sums].sort((a, b) => a[0] - b[0]).filter(([, values]) => values.length === known.length)
        .map(([epoch, values]) => [epoch, values.reduce((sum, value) => sum + value, 0) / values.length]);
      return [...singles, { points: mean, colour: place, dashed: place === "c1" }];
    }).filter((line) => line.points.length);
    const label = names[0].endsWith("/loss") ? "loss" : names[0].replace("val/", "validation ").replaceAll("_", " ");
    return drawn.length ? lineChart({ lines: drawn, title: `${label} by epoch`, yLabel: label, xLabel: "epoch", width: 270, height: 180 }) : null;
  });
  return charts.filter(Boolean);
};
const CURVE_LEGEND = () => legend([[dash("c0"), "validation"], [dash("c1", true), "training"]]);
const curves = (group) => {
  const drawn = visible(group).map((row) => {
    const known = cellsOfRow[row].map((cell) => data.curves[cell]).filter(Boolean);
    const done = cellsOfRow[row].filter((cell) => stateOf(cell) === "done").length;
    return known.length ? multiple(`${rows[row].entry} (${known.length} of ${done} cells)`, curveCharts(known, true)) : null;
  }).filter(Boolean);
  if (!drawn.length) return [about("No cell kept a log of its training.")];
  return [about("Each cell is a thin line; thick is their mean, as far as all of them go."), CURVE_LEGEND(), html("div", { class: "multiples" }, drawn)];
};

const embeddings = (group) => [
  about("t-SNE of the features of one fold's test samples, coloured by true class; hollow ones were not recognised. Distances between clusters mean nothing."),
  legend(group.classes.map((name, label) => [shape(label), name])),
  html("div", { class: "multiples" }, group.embeddings.filter((one) => shownRows.has(one.row)).map((one) => multiple(`${rows[one.row].entry}, fold ${one.fold}`,
    scatter(one, group.classes, `Features of ${rows[one.row].entry}`), html("p", { class: "about" }, `${one.x.length} of ${one.of} test samples`)))),
];

const stress = (group) => [
  about(`${group.head} of networks trained on whole scans, by how much the test scans are perturbed; bands are 95 % intervals.`),
  legend(visible(group).filter((row) => group.stress.some((one) => one.lines.some((line) => line.row === row))).map((row) => [dash(colour(row)), rows[row].entry])),
  html("div", { class: "multiples" }, group.stress.map((one) => multiple(one.member, lineChart({
    lines: one.lines.filter((line) => shownRows.has(line.row)).map((line) => ({ colour: colour(line.row), dots: true, name: rows[line.row].entry,
      points: line.points.map(([at, value]) => [at, group.factor * value]),
      band: line.points.map(([at, , low, high]) => [at, low === null ? null : group.factor * low, high === null ? null : group.factor * high]) })),
    title: `${group.head} under ${one.member}`, yLabel: `${group.head}${group.unit ? ` (${group.unit})` : ""}`, xLabel: one.quantity,
    xTicks: one.ticks.map((tick, at) => [at, tick]), zero: true, width: 420, height: 260 }) ?? ""))),
];

const mistakes = (group) => {
  const drawn = group.mistakes.filter((one) => shownRows.has(one.row) && one.samples.length).map((one) => html("div", {},
    html("h4", {}, rows[one.row].entry), one.why ? about(one.why) : null,
    html("div", { class: "faces" }, one.samples.map((sample) => {
      const cell = cellsOfRow[one.row].find((place) => cells.fold[place] === sample.fold && cells.seed[place] === sample.seed);
      const image = sample.image === null ? null : html("img", { src: data.images[sample.image], alt: `What ${rows[one.row].entry} saw of ${sample.id}` });
      return html("figure", {}, image, html("figcaption", {}, sample.told,
        html("small", {}, html("button", { type: "button", onclick: () => openCell(cell), "aria-label": `${sample.id}: open ${nameOf(cell)}` }, sample.id), ` fold ${sample.fold}`)));
    }))));
  const what = group.metric === "accuracy" ? "The surest of the wrong answers: true class → answer, and its share." : "The samples with the largest errors: true → predicted, or the error.";
  return [about(`${what} Pictures show what the network was given.`), ...drawn];
};
