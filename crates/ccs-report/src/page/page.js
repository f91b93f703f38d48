"use strict";
// Buttons that save figures and copy tables. Without them the page is whole.
(() => {
  const button = (text, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", () => act(made));
    const tools = document.createElement("p");
    tools.className = "tools";
    tools.append(made);
    return tools;
  };

  // A figure as a file of its own: the colors of the page are written out.
  const file = (svg) => {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    const copy = svg.cloneNode(true);
    const [, , width, height] = svg.getAttribute("viewBox").split(" ");
    const attributes = { xmlns: "http" + "://www.w3.org/2000/svg", width, height, "font-family": "sans-serif" };
    for (const [name, value] of Object.entries(attributes)) copy.setAttribute(name, value);
    const paper = document.createElementNS(svg.namespaceURI, "rect");
    for (const [name, value] of Object.entries({ width: "100%", height: "100%", fill: color("--paper") })) paper.setAttribute(name, value);
    copy.prepend(paper);
    return new XMLSerializer().serializeToString(copy).replace(/var\((--[a-z-]+)\)/g, (_, name) => color(name));
  };

  const slug = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60) || "figure";

  for (const figure of document.querySelectorAll("figure")) {
    const svg = figure.querySelector(".wide svg") ?? figure.querySelector("svg");
    if (!svg) continue;
    const link = document.createElement("a");
    link.textContent = "Save as SVG";
    link.href = "#";
    // Made when it is asked for: a page of many figures would be twice as large.
    link.addEventListener("click", () => {
      link.href = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(file(svg));
      link.download = slug(svg.getAttribute("aria-label")) + ".svg";
    });
    const tools = document.createElement("p");
    tools.className = "tools";
    tools.append(link);
    figure.append(tools);
  }

  // Cells that span rows or columns stand once, with empty cells beside and below.
  const cells = (table) => {
    const grid = [...table.rows].map(() => []);
    [...table.rows].forEach((row, at) => {
      let column = 0;
      for (const cell of row.cells) {
        while (grid[at][column] !== undefined) column += 1;
        for (let down = 0; down < cell.rowSpan && at + down < grid.length; down += 1) {
          for (let right = 0; right < cell.colSpan; right += 1) {
            grid[at + down][column + right] = down + right === 0 ? cell.textContent.replace(/\s+/g, " ").trim() : "";
          }
        }
        column += cell.colSpan;
      }
    });
    return grid.map((row) => [...row].map((cell) => cell ?? "").join("\t")).join("\n") + "\n";
  };

  const copied = (text) => navigator.clipboard.writeText(text).catch(() => {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  });

  for (const table of document.querySelectorAll(".scroll > table")) {
    const tools = button("Copy table", async (made) => {
      await copied(cells(table));
      made.textContent = "Copied";
      setTimeout(() => { made.textContent = "Copy table"; }, 1500);
    });
    table.parentElement.after(tools);
  }

  window.ccsReport = { cells, file };
})();
