"use strict";
// Rows of a run to filter, sort and look at. The data is in the page; text from it is only ever set as text.

const data = JSON.parse(document.getElementById("data").textContent);
const rows = data.rows;
const PAGE = 100; // rows of the table that are in the document at once
const VALUES = 60; // of a column that rows can be chosen by
const END = 140; // characters of a text in the table

const find = (id) => document.getElementById(id);
const controls = {
  method: find("method"), correct: find("correct"), split: find("split"), template: find("template"),
  search: find("search"), sort: find("sort"), x: find("x"), y: find("y"),
};
const columns = {}; // further columns of the data, each with its select
const state = { shown: [], page: 0, selected: null, points: [] };

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function options(select, entries) {
  for (const [value, text] of entries) {
    const option = element("option", text);
    option.value = value;
    select.append(option);
  }
}

const distinct = (values) => [...new Set(values)].sort();
const method = () => data.methods[Number(controls.method.value)];
const number = (value) => (value === null || value === undefined ? "–" : value.toFixed(3));
const place = (of, row) => of.place[row]; // where a method's lists have a row, or null
const predicted = (of, row) => of.prediction[place(of, row)];
const isRight = (of, row) => predicted(of, row) === rows.label[row];
const margin = (of, row) => Math.abs(of.score[place(of, row)] - of.threshold);
const p = (of, row) => (of.p ? of.p[place(of, row)] : null);

// ---- what is shown ----

const sorts = {
  row: { text: "row number", by: (of, row) => row },
  sure: { text: "surest first", by: (of, row) => -margin(of, row) },
  unsure: { text: "least sure first", by: (of, row) => margin(of, row) },
  high: { text: "truest first, by score", by: (of, row) => -of.score[place(of, row)] },
  low: { text: "falsest first, by score", by: (of, row) => of.score[place(of, row)] },
  apart: { text: "x and y furthest apart", by: (of, row) => -Math.abs(axis("x").values[row] - axis("y").values[row]) },
};

function filter() {
  const of = method();
  const words = controls.search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = (row) => {
    if (place(of, row) === null) return false;
    if (controls.correct.value !== "all" && isRight(of, row) !== (controls.correct.value === "right")) return false;
    if (controls.split.value !== "all" && rows.split[row] !== controls.split.value) return false;
    if (controls.template.value !== "" && rows.template[row] !== controls.template.value) return false;
    for (const [name, select] of Object.entries(columns)) {
      if (select.value !== "" && (data.columns[name][row] ?? "–") !== select.value.slice(1)) return false;
    }
    return words.every((word) => searchable[row].includes(word));
  };
  const by = sorts[controls.sort.value].by;
  const keyed = rows.number.map((_, row) => row).filter(wanted).map((row) => [by(of, row), row]);
  // Not a number: last.
  keyed.sort((a, b) => (Number.isNaN(a[0]) - Number.isNaN(b[0])) || a[0] - b[0] || a[1] - b[1]);
  state.shown = keyed.map(([, row]) => row);
}

const searchable = rows.number.map((number, row) =>
  [number, rows.id[row], rows.question[row], rows.template[row], rows.text[row], rows.plus[row], rows.minus[row]]
    .join(" ").toLowerCase());

function update() {
  filter();
  state.page = 0;
  const right = state.shown.filter((row) => isRight(method(), row)).length;
  const share = state.shown.length ? `, ${right} of them predicted rightly (${(100 * right / state.shown.length).toFixed(1)}%)` : "";
  find("count").textContent = `${state.shown.length} of ${rows.number.length} rows${share}`;
  table();
  scatter();
  if (state.selected === null || !state.shown.includes(state.selected)) select(state.shown[0] ?? null, false);
  remember();
}

// ---- the table ----

// Questions stand at the end of prompts.
function end(text) {
  const letters = [...text];
  return letters.length > END ? `…${letters.slice(-END).join("").replace(/^\S*\s/, "")}` : text;
}

function table() {
  const of = method();
  const body = find("rows");
  const from = state.page * PAGE;
  const made = state.shown.slice(from, from + PAGE).map((row) => {
    const line = element("tr");
    line.dataset.row = row;
    line.tabIndex = row === state.selected ? 0 : -1;
    line.setAttribute("aria-selected", row === state.selected);
    const text = element("td", undefined, "text");
    text.append(`${end(rows.text[row] ?? rows.id[row])} `, element("b", rows.plus[row] ?? ""));
    line.append(
      element("td", rows.number[row], "n"), text, element("td", rows.label[row]),
      element("td", `${predicted(of, row)}${isRight(of, row) ? "" : " ✗"}`, isRight(of, row) ? "" : "wrong"),
      element("td", number(p(of, row) ?? of.score[place(of, row)]), "n"));
    return line;
  });
  body.replaceChildren(...made);
  if (!made.some((line) => line.tabIndex === 0) && made[0]) made[0].tabIndex = 0;
  find("value").textContent = of.p ? "p" : "score";
  const pages = Math.max(1, Math.ceil(state.shown.length / PAGE));
  find("page").textContent = `page ${state.page + 1} of ${pages}`;
  find("previous").disabled = state.page === 0;
  find("next").disabled = state.page + 1 >= pages;
}

function turn(by) {
  state.page += by;
  table();
  find("rows").querySelector("tr")?.scrollIntoView({ block: "nearest" });
}

// Selects a row, on whatever page of the table it is.
function select(row, focus) {
  state.selected = row;
  const at = state.shown.indexOf(row);
  const page = Math.floor(at / PAGE);
  if (at >= 0 && page !== state.page) {
    state.page = page;
    table();
  }
  for (const line of find("rows").children) {
    const own = Number(line.dataset.row) === row;
    line.setAttribute("aria-selected", own);
    line.tabIndex = own ? 0 : -1;
    if (own && focus) {
      line.focus({ preventScroll: true });
      line.scrollIntoView({ block: "nearest" });
    }
  }
  detail();
  draw();
}

function step(by) {
  const at = state.shown.indexOf(state.selected);
  const to = Math.min(Math.max(at + by, 0), state.shown.length - 1);
  if (state.shown[to] !== undefined) select(state.shown[to], true);
}

const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };

// ---- one row ----

function detail() {
  const row = state.selected;
  const at = find("detail");
  if (row === null) return at.replaceChildren(element("p", "No row is left.", "quiet"));
  const text = element("p", undefined, "whole");
  text.append(`${rows.text[row] ?? "(the run has no texts)"} `, element("b", rows.plus[row] ?? ""));
  const answers = element("p", undefined, "quiet");
  const judged = data.statements ? "The statement" : `The plus side${rows.plus[row] ? ` (“${rows.plus[row]}”)` : ""}`;
  answers.textContent = `${judged} is labeled ${rows.label[row]}`
    + `${rows.minus[row] ? `; the minus side is “${rows.minus[row]}”` : ""}. Row ${rows.number[row]}, id ${rows.id[row]}, `
    + `question ${rows.question[row]}${rows.template[row] ? `, template ${rows.template[row]}` : ""}, ${rows.split[row]}`
    + Object.keys(data.columns).map((name) => `, ${name}: ${data.columns[name][row] ?? "–"}`).join("") + ".";
  const all = element("table");
  const head = element("tr");
  for (const name of ["Method", "Layer", "Predicted"]) head.append(element("th", name));
  for (const name of ["p", "Score"]) head.append(element("th", name, "n"));
  all.append(head);
  for (const of of data.methods) {
    if (place(of, row) === null) continue;
    const line = element("tr", undefined, isRight(of, row) ? "" : "wrong");
    line.append(element("td", of.title), element("td", of.layer ?? "–"),
      element("td", `${predicted(of, row)}${isRight(of, row) ? "" : " ✗"}`), element("td", number(p(of, row)), "n"),
      element("td", number(of.score[place(of, row)]), "n"));
    all.append(line);
    if (of.reads) all.append(reading(of.reads[place(of, row)]));
  }
  at.replaceChildren(element("h2", `Row ${rows.number[row]}`), text, answers, all);
}

// Where a probe looks that reads all tokens.
function reading([[before, token, after], share]) {
  const line = element("tr");
  const cell = element("td", undefined, "quiet");
  cell.colSpan = 5;
  cell.append(`reads most (${Math.round(100 * share)} %): ${before}`, element("mark", token), after);
  line.append(cell);
  return line;
}

// ---- the scatter ----

// Everything that has a number for a row, by a name to choose it by.
const axes = [];
for (const of of data.methods) {
  const lay = (values) => rows.number.map((_, row) => (place(of, row) === null ? NaN : values[place(of, row)]));
  const at = of.layer === null ? "" : `, layer ${of.layer}`;
  if (of.p) axes.push({ name: `p: ${of.title}${at}`, key: `p:${of.name}`, values: lay(of.p), range: [0, 1] });
  axes.push({ name: `score: ${of.title}${at}`, key: `score:${of.name}`, values: lay(of.score) });
}
for (const picture of data.pictures) {
  const lay = (values) => values.map((value) => (value === null ? NaN : value));
  axes.push({ name: `first component, layer ${picture.layer}`, key: `x:${picture.layer}`, values: lay(picture.x) });
  axes.push({ name: `second component, layer ${picture.layer}`, key: `y:${picture.layer}`, values: lay(picture.y) });
}
const axis = (which) => axes[Number(controls[which].value)];

function span(of, shown) {
  if (of.range) return of.range;
  let [low, high] = [Infinity, -Infinity];
  for (const row of shown) {
    if (Number.isFinite(of.values[row])) [low, high] = [Math.min(low, of.values[row]), Math.max(high, of.values[row])];
  }
  return low < high ? [low, high] : [low - 1, low + 1];
}

function scatter() {
  const [x, y] = [axis("x"), axis("y")];
  const [xs, ys] = [span(x, state.shown), span(y, state.shown)];
  const share = (value, [low, high]) => (value - low) / (high - low);
  state.points = state.shown
    .filter((row) => Number.isFinite(x.values[row]) && Number.isFinite(y.values[row]))
    .map((row) => ({ row, x: share(x.values[row], xs), y: share(y.values[row], ys) }))
    .sort((a, b) => a.x - b.x || a.y - b.y || a.row - b.row);
  const ends = (of, [low, high]) => `${of.name}, from ${number(low)} to ${number(high)}`;
  find("scatter").setAttribute("aria-label",
    `${state.points.length} rows. Across: ${ends(x, xs)}. Up: ${ends(y, ys)}. Left and right arrow keys go from row to row.`);
  find("across").textContent = ends(x, xs);
  find("up").textContent = ends(y, ys);
  draw();
}

const MARGIN = 8;
function onCanvas(canvas, point) {
  const [width, height] = [canvas.clientWidth - 2 * MARGIN, canvas.clientHeight - 2 * MARGIN];
  return [MARGIN + point.x * width, MARGIN + (1 - point.y) * height];
}

// The column that marks tell: its most frequent values have a mark each, all others share the last.
const marked = (row) => (data.columns[data.marks] ?? (data.marks === "template" ? rows.template : []))[row] ?? "–";
const outlines = [
  null, // a disc
  [[0, -1.4], [1.25, 0.9], [-1.25, 0.9]],
  [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
  [[0, -1.35], [1.35, 0], [0, 1.35], [-1.35, 0]],
];
const marks = (() => {
  if (!data.marks) return [];
  const counts = new Map();
  rows.number.forEach((_, row) => counts.set(marked(row), (counts.get(marked(row)) ?? 0) + 1));
  const names = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || (a < b ? -1 : 1));
  return names.length > outlines.length ? [...names.slice(0, outlines.length - 1).sort(), "others"] : names.sort();
})();
const mark = (row) => {
  const at = marks.indexOf(marked(row));
  return at < 0 ? Math.max(marks.length - 1, 0) : at;
};
if (marks.length > 1) {
  const names = ["discs", "triangles", "squares", "diamonds"];
  find("marks").textContent = `${data.marks}: ${marks.map((name, at) => `${names[at]} ${name}`).join(", ")}.`;
}

function outline(pen, [x, y], radius, shape) {
  pen.beginPath();
  if (!outlines[shape]) return pen.arc(x, y, radius, 0, 2 * Math.PI);
  outlines[shape].forEach(([dx, dy], at) => pen[at ? "lineTo" : "moveTo"](x + radius * dx, y + radius * dy));
  pen.closePath();
}

function draw() {
  const canvas = find("scatter");
  const scale = window.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [canvas.clientWidth * scale, canvas.clientHeight * scale];
  const pen = canvas.getContext("2d");
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  pen.scale(scale, scale);
  pen.strokeStyle = color("line");
  pen.strokeRect(MARGIN, MARGIN, canvas.clientWidth - 2 * MARGIN, canvas.clientHeight - 2 * MARGIN);
  const inks = { true: color("good"), false: color("caution") };
  for (const point of state.points) {
    pen.globalAlpha = 0.7;
    outline(pen, onCanvas(canvas, point), 3, mark(point.row));
    pen.fillStyle = pen.strokeStyle = inks[rows.label[point.row]];
    if (isRight(method(), point.row)) pen.fill(); else pen.stroke();
  }
  pen.globalAlpha = 1;
  const chosen = state.points.find((point) => point.row === state.selected);
  if (chosen) {
    pen.strokeStyle = color("text");
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(...onCanvas(canvas, chosen), 7, 0, 2 * Math.PI);
    pen.stroke();
  }
}

function nearest(event) {
  const canvas = find("scatter");
  const box = canvas.getBoundingClientRect();
  const at = [event.clientX - box.left, event.clientY - box.top];
  let [best, least] = [null, 30 * 30]; // further than 30 pixels is none
  for (const point of state.points) {
    const [x, y] = onCanvas(canvas, point);
    const distance = (x - at[0]) ** 2 + (y - at[1]) ** 2;
    if (distance < least) [best, least] = [point, distance];
  }
  return best;
}

function along(by) {
  const at = state.points.findIndex((point) => point.row === state.selected);
  const to = state.points[Math.min(Math.max(at + by, 0), state.points.length - 1)];
  if (to) select(to.row, false);
}

// ---- the address holds what was chosen, so that a view can be kept ----

function remember() {
  const chosen = new URLSearchParams();
  for (const [name, control] of Object.entries(controls)) chosen.set(name, keep(name, control));
  for (const [name, select] of Object.entries(columns)) chosen.set(`column:${name}`, select.value);
  history.replaceState(null, "", `#${chosen}`);
}

// Methods and axes by name: their numbers are those of one page.
function keep(name, control) {
  if (name === "method") return method().name;
  return name === "x" || name === "y" ? axis(name).key : control.value;
}

function recall() {
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    if (name.startsWith("column:")) {
      const of = columns[name.slice(7)];
      if (of && [...of.options].some((option) => option.value === value)) of.value = value;
      continue;
    }
    const control = controls[name];
    const list = { method: data.methods.map((of) => of.name), x: axes.map((of) => of.key), y: axes.map((of) => of.key) }[name];
    const given = list ? String(list.indexOf(value)) : value;
    if (control && (!control.options || [...control.options].some((option) => option.value === given))) control.value = given;
  }
}

// ---- beginning ----

const layer = (of) => (of.layer === null ? "" : `, layer ${of.layer}`);
options(controls.method, data.methods.map((of, at) => [at, of.title + layer(of)]));
options(controls.template, [["", "all"], ...distinct(rows.template).filter(Boolean).map((name) => [name, name])]);
controls.template.closest("label").hidden = controls.template.options.length < 3;
options(controls.sort, Object.entries(sorts).map(([key, sort]) => [key, sort.text]));
for (const which of ["x", "y"]) options(controls[which], axes.map((of, at) => [at, of.name]));
const calibrated = axes.map((of, at) => (of.key.startsWith("p:") ? at : -1)).filter((at) => at >= 0);
const lr = axes.findIndex((of) => of.key === "p:lr");
controls.x.value = calibrated[0] ?? 0;
controls.y.value = lr >= 0 && lr !== calibrated[0] ? lr : calibrated[1] ?? Math.min(1, axes.length - 1);
for (const name of Object.keys(data.columns)) {
  const values = distinct(data.columns[name].map((value) => value ?? "–"));
  if (values.length < 2 || values.length > VALUES) continue; // nothing to choose, or too much
  const label = element("label", name);
  const select = element("select");
  options(select, [["", "all"], ...values.map((value) => [`=${value}`, value])]);
  label.append(select);
  find("filters").insertBefore(label, controls.search.closest("label"));
  columns[name] = select;
}
recall();

for (const control of [...Object.values(controls), ...Object.values(columns)]) control.addEventListener("input", update);
find("previous").addEventListener("click", () => turn(-1));
find("next").addEventListener("click", () => turn(1));
find("rows").addEventListener("click", (event) => {
  const line = event.target.closest("tr");
  if (!line) return;
  select(Number(line.dataset.row), true);
  // Where there is no room beside the table, the row is shown above it.
  if (matchMedia("(max-width: 56rem)").matches) find("detail").scrollIntoView({ block: "nearest" });
});
find("rows").addEventListener("keydown", (event) => {
  if (!(event.key in steps)) return;
  event.preventDefault();
  step(steps[event.key]);
});
find("scatter").addEventListener("click", (event) => {
  const point = nearest(event);
  if (point) select(point.row, false);
});
find("scatter").addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
  if (by === undefined) return;
  event.preventDefault();
  along(by);
});
find("filters").addEventListener("submit", (event) => event.preventDefault());
addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
update();
document.documentElement.dataset.ready = "true";
