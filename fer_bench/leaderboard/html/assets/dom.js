// What everything below uses: the data, elements made of text alone, and numbers in words.
const data = JSON.parse(document.getElementById("data").textContent);
const { rows, groups, cells } = data;
const SVG = "http://www.w3.org/2000/svg";

const set = (element, attributes, children) => {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "share") element.style.setProperty("--share", value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
};
const html = (tag, attributes = {}, ...children) => set(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) => set(document.createElementNS(SVG, tag), attributes, children);

const groupOf = (row) => groups.find((group) => row >= group.first && row < group.first + group.count);
const colour = (row) => `c${(row - groupOf(row).first) % 8}`;
const percent = (value) => (100 * value).toFixed(1);
const inUnit = (group, value) => (value === null || value === undefined ? "-" : (group.factor * value).toFixed(group.digits));
const headline = (group, value) => inUnit(group, value) + (value === null || !group.unit ? "" : ` ${group.unit}`);

const duration = (seconds) => {
  if (seconds < 90) return `${seconds.toFixed(0)} s`;
  if (seconds < 5400) return `${(seconds / 60).toFixed(1)} min`;
  return `${Math.floor(seconds / 3600)} h ${String(Math.floor((seconds % 3600) / 60)).padStart(2, "0")} min`;
};
const nameOf = (cell) => `${rows[cells.row[cell]].entry}, fold ${cells.fold[cell]}, seed ${cells.seed[cell]}`;
const stateOf = (cell) => cells.states[cells.state[cell]];
const bounds = (values) => {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value === null || value === undefined || Number.isNaN(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : null;
};
const cellsOfRow = rows.map(() => []);
cells.row.forEach((row, cell) => cellsOfRow[row].push(cell));
