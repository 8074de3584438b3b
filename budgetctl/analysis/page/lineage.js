/* What a cell came from: its stages as a tree, each with its key and metrics. */
"use strict";

function stageTree(index, role, seen) {
  const node = DATA.lineage[index];
  const label = [element("strong", {}, role ? `${role}: ${node.stage}` : node.stage), " ", element("code", {}, node.key)];
  const metrics = Object.entries(node.metrics).map(([name, value]) => `${name} ${value}`).join(", ");
  if (metrics) label.push(element("div", { class: "note" }, metrics));
  const parents = Object.entries(node.parents);
  if (!parents.length || seen.has(index)) return element("li", {}, label);
  const deeper = new Set(seen).add(index);
  const list = element("ul", {}, parents.map(([name, parent]) => stageTree(parent, name, deeper)));
  return element("li", {}, [...label, list]);
}

function showLineage(group, row, cell) {
  const title = `${group.title}, ${group.axis} ${amount(row.value)}, SFT share ${share(cell.share)}`;
  document.getElementById("lineage-title").textContent = title;
  const facts = [cell.mean === null ? cell.status : `score ${score(cell.mean)}, ${cell.seeds} of ${cell.planned} seeds`];
  if (cell.items) facts.push(`${amount(cell.items)} test items`);
  if (cell.n_sft !== null && cell.n_pft !== null) facts.push(`${amount(cell.n_sft)} SFT rows and ${amount(cell.n_pft)} pairs`);
  const parts = [element("p", {}, facts.join("; "))];
  if (cell.reason) parts.push(element("p", {}, cell.reason));
  for (const key of cell.keys) {
    if (typeof key === "number") parts.push(element("ul", {}, stageTree(key, "", new Set())));
    else parts.push(element("p", {}, element("code", {}, key)));
  }
  document.getElementById("lineage-body").replaceChildren(...parts);
  document.getElementById("lineage").showModal();
}
