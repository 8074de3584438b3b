/* Puts the page together and reacts to the filter. */
"use strict";

const DATA = JSON.parse(document.getElementById("data").textContent);
const AT_ONCE = 6;
let limit = AT_ONCE;

function tableCell(group, row, cell) {
  const label = cell.mean === null
    ? element("span", { class: "status" }, cell.status)
    : [score(cell.mean), cell.half === null ? null : element("span", { class: "half" }, ` ±${score(cell.half)}`),
       cell.tied ? " ≈" : null, cell.seeds < cell.planned ? element("span", { class: "half" }, ` [${cell.seeds}/${cell.planned}]`) : null];
  const button = element("button", { type: "button", onclick: () => showLineage(group, row, cell) }, label);
  return element("td", { class: cell.best ? "best" : null }, button);
}

function table(group) {
  const head = element("tr", {}, [element("th", { class: "corner" }, ["SFT share →", element("br"), `${group.axis} ↓`]),
    ...group.shares.map((value) => element("th", { scope: "col" }, share(value)))]);
  const body = group.rows.map((row) => element("tr", {}, [element("th", { scope: "row" }, amount(row.value)),
    ...row.cells.map((cell) => tableCell(group, row, cell))]));
  return element("div", { class: "scroll", tabindex: "0" },
    element("table", {}, [element("thead", {}, head), element("tbody", {}, body)]));
}

function section(group) {
  const shown = new Set(group.shares.slice(0, 12));
  const plot = element("div", {});
  const redraw = () => plot.replaceChildren(drawLegend(group, shown, group.shares, redraw), drawPlot(group, shown, group.shares));
  redraw();
  const base = group.baseline ? `base model: ${score(group.baseline.mean)}` : "base model: not measured";
  return element("section", { class: "group" }, [
    element("h2", {}, group.title), element("p", { class: "note" }, base), table(group),
    element("p", { class: "note" }, group.legend), plot,
  ]);
}

function refresh() {
  const words = document.getElementById("filter-text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = DATA.groups.filter((group) => words.every((word) => group.title.toLowerCase().includes(word)));
  document.getElementById("groups").replaceChildren(...found.slice(0, limit).map(section));
  const more = document.getElementById("more");
  more.hidden = found.length <= limit;
  more.textContent = `Show more (${found.length - limit} left)`;
  const count = `${found.length} of ${DATA.groups.length} tables`;
  document.getElementById("filter-count").textContent = found.length ? count : `${count}: nothing matches`;
}

function footer() {
  const versions = Object.entries(DATA.versions).map(([name, version]) => `${name} ${version}`).join(" · ");
  return [
    DATA.commands.length ? element("h2", {}, "How this was made") : null,
    DATA.commands.length ? element("pre", {}, DATA.commands.join("\n")) : null,
    versions ? element("p", {}, versions) : null,
  ].filter(Boolean);
}

document.getElementById("question").textContent = DATA.question;
document.getElementById("answer").replaceChildren(...DATA.answer.map((text) => element("p", {}, text)));
document.getElementById("footer").replaceChildren(...footer());
document.getElementById("filter-text").addEventListener("input", () => { limit = AT_ONCE; refresh(); });
document.getElementById("more").addEventListener("click", () => { limit += AT_ONCE; refresh(); });
refresh();
