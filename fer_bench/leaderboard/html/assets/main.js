// Figures are drawn when they are opened, and all of them before a page is printed.
const FIGURES = { folds, classes, curves, embeddings, stress, mistakes, pairs };
const draw = (figure) => {
  const group = groups[figure.closest(".group").dataset.group];
  figure.dataset.drawn = "";
  if (visible(group).length) figure.querySelector(".drawing").replaceChildren(...FIGURES[figure.dataset.kind](group));
};
// What is closed is drawn anew when it is opened.
const redraw = () => document.querySelectorAll("details.figure").forEach((figure) => {
  delete figure.dataset.drawn;
  if (figure.open) draw(figure);
});

document.querySelectorAll(".group").forEach((section) => drawIntervals(section, groups[section.dataset.group]));
document.querySelectorAll(".board").forEach(makeSortable);
if (groups.length) makeCells();
const form = document.getElementById("filters");
form.addEventListener("input", applyFilter);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(applyFilter));
document.querySelectorAll("details.figure").forEach((figure) => figure.addEventListener("toggle", () => { if (figure.open && !("drawn" in figure.dataset)) draw(figure); }));
redraw();
addEventListener("beforeprint", () => document.querySelectorAll("details.figure").forEach((figure) => {
  figure.open = true;
  draw(figure);
}));
document.documentElement.dataset.ready = String(Math.round(performance.now()));
