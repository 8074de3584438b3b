/* Score against budget, one line a share: colour, dash and marker all tell the shares apart. */
"use strict";

const STOPS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [200, 222, 40]]; // viridis
const DASHES = ["", "8 3", "2 3", "10 3 2 3", "5 5"];
const MARKERS = [
  "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z", "M-3.6 -3.6h7.2v7.2h-7.2z", "M0 -5l5 5l-5 5l-5 -5z",
  "M0 -5l4.7 8.5h-9.4z", "M0 5l4.7 -8.5h-9.4z",
];
// Drawn at the width it is shown at, so that its text keeps its size on a phone.
const BOX = { width: Math.max(300, Math.min(640, document.documentElement.clientWidth - 32)), left: 46, right: 8, top: 12, bottom: 44 };
BOX.height = Math.round(Math.max(260, BOX.width * 0.56));

function styleOf(shares, value) {
  const ordered = [...shares].sort((a, b) => b - a);
  const index = ordered.indexOf(value);
  const place = (ordered.length > 1 ? index / (ordered.length - 1) : 0) * (STOPS.length - 1);
  const low = Math.min(Math.floor(place), STOPS.length - 2);
  const mix = STOPS[low].map((part, i) => Math.round(part + (STOPS[low + 1][i] - part) * (place - low)));
  return { color: `rgb(${mix})`, dash: DASHES[index % DASHES.length], marker: MARKERS[index % MARKERS.length] };
}

function scales(group, shown) {
  const cells = group.rows.flatMap((row) => row.cells.filter((cell) => cell.mean !== null && shown.has(cell.share)));
  const scores = cells.flatMap((cell) => [cell.mean, cell.low, cell.high].filter((value) => value !== null));
  if (group.baseline) scores.push(group.baseline.mean);
  const budgets = group.rows.map((row) => row.value);
  let [low, high] = scores.length ? [Math.min(...scores), Math.max(...scores)] : [0, 1];
  if (high - low < 1e-6) [low, high] = [low - 0.05, high + 0.05];
  const pad = (high - low) * 0.05;
  const log = budgets[0] > 0 && budgets[budgets.length - 1] / budgets[0] > 4;
  const turn = (value) => (log ? Math.log(value) : value);
  const [first, last] = [turn(budgets[0]), turn(budgets[budgets.length - 1])];
  const span = last - first || 1;
  return {
    low: low - pad,
    high: high + pad,
    x: (value) => BOX.left + 14 + ((last === first ? 0.5 : (turn(value) - first) / span)) * (BOX.width - BOX.left - BOX.right - 28),
    y: (value) => BOX.height - BOX.bottom - ((value - low + pad) / (high - low + 2 * pad)) * (BOX.height - BOX.top - BOX.bottom),
  };
}

function ticks(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + 1e-12; value += step) found.push(value);
  return found.map((value) => [value, value.toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)))]);
}

function axes(group, scale) {
  const parts = [];
  for (const [value, text] of ticks(scale.low, scale.high)) {
    const y = scale.y(value);
    parts.push(shape("line", { class: "grid", x1: BOX.left, x2: BOX.width - BOX.right, y1: y, y2: y }));
    parts.push(shape("text", { x: BOX.left - 6, y: y + 4, "text-anchor": "end" }, text));
  }
  let previous = -Infinity;
  for (const row of group.rows) {
    const x = scale.x(row.value);
    if (x - previous < 40) continue;
    previous = x;
    parts.push(shape("line", { class: "grid", x1: x, x2: x, y1: BOX.top, y2: BOX.height - BOX.bottom }));
    parts.push(shape("text", { x, y: BOX.height - BOX.bottom + 17, "text-anchor": "middle" }, short(row.value)));
  }
  const [right, bottom] = [BOX.width - BOX.right, BOX.height - BOX.bottom];
  parts.push(shape("path", { class: "axis", d: `M${BOX.left} ${BOX.top}V${bottom}H${right}` }));
  parts.push(shape("text", { x: (BOX.left + right) / 2, y: BOX.height - 6, "text-anchor": "middle" }, group.axis));
  return parts;
}

function line(group, index, scale, shares) {
  const found = group.rows.map((row) => [row, row.cells[index]]).filter(([, cell]) => cell.mean !== null);
  if (!found.length) return null;
  const look = styleOf(shares, group.shares[index]);
  const point = (row, value) => `${scale.x(row.value).toFixed(1)} ${scale.y(value).toFixed(1)}`;
  const band = found.filter(([, cell]) => cell.low !== null);
  const parts = [];
  if (band.length > 1) {
    const there = band.map(([row, cell]) => point(row, cell.high));
    const back = band.map(([row, cell]) => point(row, cell.low)).reverse();
    parts.push(shape("path", { d: `M${[...there, ...back].join("L")}Z`, fill: look.color, "fill-opacity": 0.13 }));
  }
  const path = found.map(([row, cell]) => point(row, cell.mean)).join("L");
  parts.push(shape("path", {
    d: `M${path}`, fill: "none", stroke: look.color, "stroke-width": 2.2, "stroke-dasharray": look.dash || null,
  }));
  for (const [row, cell] of found) {
    const text = `budget ${amount(row.value)}, SFT share ${share(cell.share)}: ${score(cell.mean)}` +
      (cell.low === null ? "" : ` (${score(cell.low)} to ${score(cell.high)})`);
    const dot = shape("path", {
      d: look.marker, transform: `translate(${point(row, cell.mean)})`, fill: look.color,
      stroke: "var(--back)", "stroke-width": 0.8, style: "cursor:pointer", onclick: () => showLineage(group, row, cell),
    }, shape("title", {}, text));
    parts.push(dot);
  }
  return shape("g", { "data-share": group.shares[index] }, parts);
}

function drawPlot(group, shown, shares) {
  const scale = scales(group, shown);
  const parts = axes(group, scale);
  if (group.baseline) {
    const y = scale.y(group.baseline.mean);
    parts.push(shape("line", { class: "base", x1: BOX.left, x2: BOX.width - BOX.right, y1: y, y2: y },
      shape("title", {}, `base model: ${score(group.baseline.mean)}`)));
  }
  group.shares.forEach((value, index) => { if (shown.has(value)) parts.push(line(group, index, scale, shares)); });
  return shape("svg", {
    viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: "img", class: "plot",
    "aria-label": `score against ${group.axis} per SFT share, ${group.title}`,
  }, parts);
}

function drawLegend(group, shown, shares, redraw) {
  const buttons = group.shares.map((value) => {
    const look = styleOf(shares, value);
    const sample = shape("svg", { viewBox: "0 0 40 14", "aria-hidden": "true" }, [
      shape("path", { d: "M0 7H40", stroke: look.color, "stroke-width": 2.2, "stroke-dasharray": look.dash || null }),
      shape("path", { d: look.marker, transform: "translate(20 7)", fill: look.color }),
    ]);
    return element("button", {
      type: "button", "aria-pressed": String(shown.has(value)),
      onclick: () => { if (!shown.delete(value)) shown.add(value); redraw(); },
    }, [sample, share(value)]);
  });
  return element("div", { class: "legend" }, [element("span", { class: "note" }, "SFT share:"), ...buttons]);
}
