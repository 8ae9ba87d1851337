// One cell, opened: its result, its log where it failed, and what it was run with.
const dialog = document.getElementById("cell");
const list = (facts) => html("dl", {}, Object.entries(facts).filter(([, value]) => value !== "" && value !== null && value !== undefined)
  .map(([key, value]) => [html("dt", {}, key), html("dd", {}, String(value))]));
const json = (value) => html("pre", { tabindex: 0 }, JSON.stringify(value, null, 2));
const part = (title, ...children) => [html("h3", {}, title), ...children];
const gigabytes = (bytes) => (bytes === null || bytes === undefined ? "" : `${(bytes / 2 ** 30).toFixed(2)} GiB`);

const manifest = (cell) => {
  if (!cells.detailed) return [about("In suites of this size manifests stay in the cells' folders: manifest.json.")];
  const runs = cells.runs[cell];
  if (!runs) return [about("This cell has no manifest.")];
  const drawn = runs.map(([stage, started, seconds, completed, memory, gpu]) => list({
    [stage]: `${started}, ${seconds === null || seconds === undefined ? "never ended" : duration(seconds)}${completed ? "" : ", not completed"}`,
    "peak memory": [gigabytes(memory), gpu ? `${gigabytes(gpu)} of the GPU` : ""].filter(Boolean).join(", ") }));
  const used = [...new Set(runs.map((run) => run[6]))].map((number) => cells.environments[number]);
  return [...drawn, html("details", {}, html("summary", {}, "Code, versions, hardware and data"), json({ environments: used, data: cells.sources[cells.source[cell]] }))];
};

const showCell = (cell) => {
  const row = rows[cells.row[cell]], group = groupOf(cells.row[cell]), state = stateOf(cell);
  const order = shownCells.includes(cell) ? shownCells : cellsOfRow[cells.row[cell]], at = order.indexOf(cell);
  const move = (label, by) => html("button", { type: "button", disabled: !(at + by in order), onclick: () => turnTo(order[at + by], label) }, label);
  const metrics = Object.fromEntries(Object.entries(cells.metrics).filter(([, column]) => column[cell] !== null)
    .map(([name, column]) => [cells.heads[name], inShare(group, name, column[cell])]));
  const head = html("header", {}, html("h2", { id: "cell-title" }, nameOf(cell)),
    html("nav", { "aria-label": "Cells" }, move("Previous", -1), move("Next", 1), html("button", { type: "button", onclick: () => dialog.close() }, "Close")));
  const matrix = cells.confusions?.[cell], curve = data.curves[cell];
  dialog.replaceChildren(head,
    list({ state, protocol: group.protocol, ...row.facts }),
    ...(row.unsound ? [html("p", { class: "message" }, `Unsound: ${row.unsound}.`)] : []),
    ...(cells.messages[cell] ? part(state === "skipped" ? "Why it was skipped" : "What went wrong", html("p", { class: "message" }, cells.messages[cell])) : []),
    ...(cells.logs[cell] ? part("End of its log", html("pre", { tabindex: 0 }, cells.logs[cell])) : []),
    ...(state === "done" ? part("Result", list({ ...metrics, "test samples": cells.n[cell], "left out": cells.broken[cell], epochs: cells.epochs[cell],
      "epoch scored": cells.selected[cell] < 0 ? "" : cells.selected[cell] + 1, "training time": duration(60 * cells.minutes[cell]) })) : []),
    ...(matrix ? part("Confusion", scrolled("Confusion matrix", matrixOf(group.classes, squares(matrix, group.classes.length), null, `Confusion matrix of ${nameOf(cell)}`))) : []),
    ...(curve ? part("Training", CURVE_LEGEND(), html("div", { class: "multiples" }, curveCharts([curve], false))) : []),
    ...(state === "missing" ? [about("This cell was never run.")] : part("Manifest", ...manifest(cell))),
    ...(Object.keys(row.settings).length ? [html("details", {}, html("summary", {}, "Settings"), json(row.settings))] : []));
  dialog.scrollTop = 0;
};
const inShare = (group, name, value) => (group.unit === "mm" && /^(rank1|leak)_/.test(name) ? `${percent(value)} %` : headline(group, value));
// The button that was pressed is drawn anew; who presses it again should not have to look for it.
const turnTo = (cell, label) => {
  showCell(cell);
  const buttons = [...dialog.querySelectorAll("nav button")];
  (buttons.find((one) => one.textContent === label && !one.disabled) ?? buttons.at(-1)).focus();
};
const openCell = (cell) => {
  showCell(cell);
  dialog.showModal();
};
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("keydown", (event) => {
  if (event.target.closest(".scroll, pre")) return;
  const by = { ArrowLeft: "Previous", ArrowRight: "Next" }[event.key];
  const button = by && [...dialog.querySelectorAll("nav button")].find((one) => one.textContent === by);
  if (button && !button.disabled) button.click();
});
