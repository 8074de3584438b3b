/* Builds HTML and SVG elements. Text only ever enters as text nodes, so names cannot become markup. */
"use strict";

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  for (const child of [].concat(children === undefined ? [] : children)) {
    if (child !== null) node.append(child);
  }
  return node;
}

const element = (name, attributes, children) => fill(document.createElement(name), attributes, children);
const shape = (name, attributes, children) => fill(document.createElementNS(SVG, name), attributes, children);

const score = (value) => value.toFixed(3);
const amount = (value) => value.toLocaleString("en-US", { maximumFractionDigits: 2 });
const share = (value) => String(Number(value.toPrecision(4)));

function short(value) {
  for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(value) >= size) return Number((value / size).toPrecision(3)) + letter;
  }
  return String(Number(value.toPrecision(3)));
}
