"use strict";
(() => {
  const form = document.querySelector("form.filters");
  const search = document.getElementById("search");
  const host = document.getElementById("host");
  const tables = [...document.querySelectorAll("table.sortable")];
  const texts = new WeakMap();

  const textOf = (row) => {
    if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
    return texts.get(row);
  };

  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const severities = new Set([...form.querySelectorAll("[name=severity]:checked")].map((box) => box.value));
    const told = [];
    for (const table of tables) {
      const rows = [...table.tBodies[0].rows];
      let shown = 0;
      for (const row of rows) {
        const fits = severities.has(row.dataset.severity) && (!host.value || host.value === row.dataset.host) &&
          words.every((word) => textOf(row).includes(word));
        row.hidden = !fits;
        shown += fits;
      }
      const noun = table.dataset.noun + (rows.length === 1 ? "" : "s");
      told.push(`${shown} of ${rows.length} ${noun}`);
      table.closest(".scroll").hidden = shown === 0;
      table.closest("section").querySelector(".empty").hidden = shown > 0;
    }
    document.getElementById("count").textContent = told.join(", ");
  };

  const valueOf = (row, column) => {
    const cell = row.cells[column];
    return (cell.dataset.sort ?? cell.textContent).trim();
  };

  const compare = (numbers) => (a, b) => {
    // What has no value comes last, whichever way is sorted.
    if (a === "" || b === "") return { order: (a === "") - (b === ""), fixed: true };
    return { order: numbers ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true }), fixed: false };
  };

  const sort = (table, heading) => {
    const way = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    const by = compare(heading.dataset.type === "number");
    const column = heading.cellIndex;
    const rows = [...table.tBodies[0].rows].map((row, index) => ({ row, index, value: valueOf(row, column) }));
    rows.sort((a, b) => {
      const { order, fixed } = by(a.value, b.value);
      return (fixed ? order : way * order) || a.index - b.index;
    });
    table.tBodies[0].append(...rows.map((each) => each.row));
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
  };

  for (const table of tables) {
    for (const heading of table.tHead.rows[0].cells) {
      heading.querySelector("button").addEventListener("click", () => sort(table, heading));
    }
  }
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  // The fields have their old values until the event is over.
  form.addEventListener("reset", () => setTimeout(filter));
  form.hidden = false;
  filter();

  // On paper nothing can be opened, so what is closed is opened for the printer.
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details.alternative:not([open])")];
    for (const each of closed) each.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const each of closed) each.open = false;
  });
})();
