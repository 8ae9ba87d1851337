// Confusion, class by class, and which entries differ.
const matrixOf = (classes, matrix, each, caption) => {
  const heads = [...classes.map((name) => html("th", { scope: "col" }, name)), ...(each ? ["Recall", "Precision", "F1", "n"] : []).map((name, number) => html("th", { scope: "col", class: number ? null : "first" }, name))];
  const lineOf = (counts, number) => {
    const all = counts.reduce((sum, count) => sum + count, 0);
    const heat = counts.map((count, other) => {
      const share = all ? count / all : 0;
      return html("td", { class: `heat${share >= 0.7 ? " strong" : ""}`, share: share.toFixed(3), title: `${classes[number]} taken for ${classes[other]}: ${count} of ${all}, ${percent(share)} %` }, String(count));
    });
    const told = each ? each[number].map((value, column) => html("td", { class: column ? null : "first" }, column === 3 ? String(value) : percent(value))) : [];
    return html("tr", {}, html("th", { scope: "row" }, classes[number]), heat, told);
  };
  return html("table", { class: "matrix" }, html("caption", { class: "hidden" }, caption), html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "true \\ found"), heads)), html("tbody", {}, matrix.map(lineOf)));
};
const squares = (flat, size) => [...Array(size).keys()].map((number) => flat.slice(number * size, (number + 1) * size));

const classes = (group) => {
  const drawn = visible(group).map((row) => {
    const found = group.classFigures[row - group.first];
    if (!found) return null;
    const title = `${rows[row].entry}${found.cells ? ` (only ${found.cells} of ${cellsOfRow[row].length} cells)` : ""}`;
    if (found.matrix) return multiple(title, scrolled(`Confusion matrix of ${rows[row].entry}`, matrixOf(group.classes, found.matrix, found.classes, `Confusion matrix of ${rows[row].entry}`)));
    const table = html("table", { class: "matrix" }, html("thead", {}, html("tr", {}, ["", "Recall", "Precision", "F1", "n"].map((name) => html("th", { scope: "col" }, name)))),
      html("tbody", {}, found.classes.map((each, number) => html("tr", {}, html("th", { scope: "row" }, group.classes[number]), each.map((value, column) => html("td", {}, column === 3 ? String(value) : percent(value)))))));
    return multiple(title, scrolled(`Classes of ${rows[row].entry}`, table));
  }).filter(Boolean);
  return [about("Rows are true classes, columns what they were taken for, in samples over all folds and seeds, shaded by the share of the row. Recall, precision and F1 in percent."), html("div", { class: "multiples" }, drawn)];
};

const pairs = (group) => {
  const names = [...new Set(group.pairs.flatMap((pair) => [pair.first, pair.second]))].filter((name) => visible(group).some((row) => rows[row].entry === name));
  const between = (a, b) => {
    const found = group.pairs.find((pair) => (pair.first === a && pair.second === b) || (pair.first === b && pair.second === a));
    if (!found) return html("td", {}, "");
    const sign = found.first === a ? 1 : -1, value = sign * found.value * group.factor;
    const told = `${value >= 0 ? "+" : ""}${value.toFixed(group.digits)}`, p = found.p === null ? "p unknown" : found.p < 0.001 ? "p < 0.001" : `p = ${found.p.toFixed(3)}`;
    const ends = found.low === null ? "" : ` [${[found.low, found.high].map((end) => (sign * end * group.factor).toFixed(group.digits)).sort((x, y) => x - y).join(", ")}]`;
    return html("td", { class: `heat${found.apart ? " strong" : ""}`, share: found.apart ? 1 : 0, title: `${a} minus ${b}: ${told}${ends}, ${p}` }, told, html("br"), html("small", {}, p));
  };
  const table = html("table", { class: "matrix" }, html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "row minus column"), names.map((name) => html("th", { scope: "col" }, name)))),
    html("tbody", {}, names.map((a) => html("tr", {}, html("th", { scope: "row" }, a), names.map((b) => (a === b ? html("td", {}, "") : between(a, b)))))));
  return [about(`Difference of ${group.head} on the same samples, filled where it is significant: p by a bootstrap over subjects, after Holm over all pairs of this table. Entries that share a letter in the column Group cannot be told apart.`), scrolled("Pairs", table)];
};
