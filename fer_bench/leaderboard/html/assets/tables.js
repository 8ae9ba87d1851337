// Sorting, filtering, and the table of all cells.
const NUMBER = /^[+\-−]?[\d,]*\.?\d+/;
const asNumber = (text) => {
  const found = NUMBER.exec(text);
  return found ? Number(found[0].replaceAll(",", "").replace("−", "-")) : null;
};
// What is not known comes last, whichever way a column is sorted.
const compare = (a, b, sign) => {
  if (a === b) return 0;
  if (a === null || a === "-" || a === "") return 1;
  if (b === null || b === "-" || b === "") return -1;
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b), "en", { numeric: true });
};
const sortButton = (head, act) => {
  const label = [...head.childNodes];
  head.setAttribute("aria-sort", "none");
  head.append(html("button", { type: "button", onclick: act }, label));
};
// The first click shows the largest number first, or the first letter; the third goes back.
const nextOrder = (now, numeric) => {
  const order = numeric ? ["none", "descending", "ascending"] : ["none", "ascending", "descending"];
  return order[(order.indexOf(now) + 1) % 3];
};
const mark = (head, order) => {
  for (const other of head.parentNode.children) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", order);
};

const makeSortable = (table) => {
  const body = table.tBodies[0], original = [...body.rows];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    if (head.hasAttribute("data-plot")) return;
    const texts = new Map(original.map((line) => [line, line.cells[column].textContent.trim()]));
    const known = [...texts.values()].filter((text) => text !== "-" && text !== "");
    const numeric = known.length > 0 && head.textContent !== "State" && known.every((text) => NUMBER.test(text));
    const keys = new Map([...texts].map(([line, text]) => [line, numeric ? asNumber(text) : text]));
    sortButton(head, () => {
      const order = nextOrder(head.getAttribute("aria-sort"), numeric);
      const sign = order === "ascending" ? 1 : -1;
      mark(head, order);
      body.append(...(order === "none" ? original : [...original].sort((a, b) => compare(keys.get(a), keys.get(b), sign))));
    });
  });
};

const filter = { text: "", protocol: "", entry: "", method: "", state: "" };
const lines = new Map(); // place of a row -> its lines in tables, and all their text
document.querySelectorAll("tr[data-row]").forEach((line) => {
  const place = Number(line.dataset.row), found = lines.get(place) ?? { elements: [], text: "" };
  found.elements.push(line);
  found.text += ` ${line.textContent.toLowerCase()}`;
  lines.set(place, found);
});
const rowStates = cellsOfRow.map((own) => new Set(own.map((cell) => stateOf(cell))));
const rowShown = (place) => {
  const row = rows[place], group = groupOf(place);
  return (!filter.protocol || group.protocol === filter.protocol) && (!filter.entry || row.entry === filter.entry) &&
    (!filter.method || row.method === filter.method) && (!filter.state || rowStates[place].has(filter.state)) &&
    filter.text.split(/\s+/).every((word) => `${lines.get(place).text} ${row.method} ${group.protocol}`.toLowerCase().includes(word));
};

let shownRows = new Set(rows.keys());
let shownCells = [...cells.row.keys()];
let cellOrder = { column: null, direction: "none" };
let page = 0;
const PAGE = 50;
const COLUMNS = [
  { head: "Entry", words: true, of: (cell) => rows[cells.row[cell]].entry },
  { head: "Protocol", words: true, of: (cell) => groupOf(cells.row[cell]).protocol },
  { head: "Fold", of: (cell) => cells.fold[cell] },
  { head: "Seed", of: (cell) => cells.seed[cell] },
  { head: "State", words: true, of: (cell) => stateOf(cell) },
  { head: new Set(groups.map((group) => group.head)).size === 1 ? groups[0].head : "Result", of: (cell) => cells.value[cell],
    text: (cell) => headline(groupOf(cells.row[cell]), cells.value[cell]) },
  { head: "n", of: (cell) => cells.n[cell] },
  { head: "Epochs", of: (cell) => cells.epochs[cell] },
  { head: "Fit (min)", of: (cell) => cells.minutes[cell] },
];

const drawCells = () => {
  const body = document.querySelector(".cells tbody"), pages = Math.max(1, Math.ceil(shownCells.length / PAGE));
  page = Math.min(Math.max(page, 0), pages - 1);
  const start = page * PAGE;
  body.replaceChildren(...shownCells.slice(start, start + PAGE).map((cell) => html("tr", {}, COLUMNS.map((column, number) => {
    const text = column.text ? column.text(cell) : column.of(cell) ?? "-";
    if (number === 0) {
      const open = html("button", { type: "button", onclick: () => openCell(cell), "aria-label": `Open ${nameOf(cell)}` }, text);
      return html("th", { scope: "row" }, open);
    }
    return html("td", { class: column.words ? (column.head === "State" ? `words state-text ${text}` : "words") : null }, String(text));
  }))));
  const nav = document.querySelector(".pages");
  const turn = (label, by, off) => html("button", { type: "button", disabled: off, onclick: () => { page += by; drawCells(); } }, label);
  const to = Math.min(start + PAGE, shownCells.length).toLocaleString("en"), all = shownCells.length.toLocaleString("en");
  nav.replaceChildren(turn("Previous", -1, page === 0), turn("Next", 1, page === pages - 1),
    shownCells.length ? `${(start + 1).toLocaleString("en")} to ${to} of ${all} cells` : "No cell fits the filter.");
};
const orderCells = () => {
  shownCells = [...cells.row.keys()].filter((cell) => shownRows.has(cells.row[cell]) && (!filter.state || stateOf(cell) === filter.state));
  if (cellOrder.direction !== "none") {
    const sign = cellOrder.direction === "ascending" ? 1 : -1;
    const keys = shownCells.map((cell) => [cell, cellOrder.column.of(cell)]);
    shownCells = keys.sort((a, b) => compare(a[1], b[1], sign)).map(([cell]) => cell);
  }
  drawCells();
};
const makeCells = () => {
  const heads = COLUMNS.map((column) => html("th", { scope: "col", class: column.words ? "words" : null }, column.head));
  document.querySelector(".cells").append(html("caption", { class: "hidden" }, "All cells. Column heads sort."),
    html("thead", {}, html("tr", {}, heads)), html("tbody"));
  heads.forEach((head, number) => sortButton(head, () => {
    const column = COLUMNS[number];
    cellOrder = { column, direction: nextOrder(head.getAttribute("aria-sort"), !column.words) };
    mark(head, cellOrder.direction);
    page = 0;
    orderCells();
  }));
  orderCells();
};

const applyFilter = () => {
  for (const key of Object.keys(filter)) filter[key] = document.getElementById(`filter-${key}`).value.trim();
  filter.text = filter.text.toLowerCase();
  shownRows = new Set([...rows.keys()].filter(rowShown));
  for (const [place, { elements }] of lines) for (const line of elements) line.hidden = !shownRows.has(place);
  document.querySelectorAll(".group").forEach((section) => {
    const group = groups[section.dataset.group];
    section.hidden = ![...Array(group.count).keys()].some((number) => shownRows.has(group.first + number));
  });
  document.getElementById("shown").textContent = shownRows.size === rows.length ? "" : `${shownRows.size} of ${rows.length} rows`;
  page = 0;
  orderCells();
  redraw();
};
