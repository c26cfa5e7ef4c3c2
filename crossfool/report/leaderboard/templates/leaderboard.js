"use strict";
// Without this script the page shows everything, ranked among rows of any cost.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const form = document.getElementById("choose");
  const say = (text) => {
    form.querySelector(".count").textContent = text;
    document.getElementById("said").textContent = text || "All rows are shown";
  };
  const places = (text) => {
    if (text === "=") return 0;
    const number = Number(text.slice(2));
    return text.startsWith("▲") ? number : text.startsWith("▼") ? -number : undefined;
  };

  // A rank, and its change, is that among rows within the budget; the page has them for each budget.
  const rank = (cell, budget) => {
    const text = cell.dataset[`at${budget}`] ?? "–";
    const value = cell.classList.contains("change") ? places(text) : Number(text);
    cell.textContent = text;
    if (Number.isFinite(value)) cell.dataset.value = value;
    else delete cell.dataset.value;
  };
  const choose = () => {
    const budget = form.elements.budget.value, most = budget === "any" ? Infinity : Number(budget);
    const words = form.elements.text.value.trim().toLowerCase().split(/\s+/);
    let shown = 0, total = 0;
    for (const board of all(".board")) {
      let left = 0;
      for (const row of all("tbody tr", board)) {
        const text = `${row.textContent} ${row.dataset.text}`.toLowerCase();
        row.hidden = Number(row.dataset.gradients) > most || !words.every((word) => text.includes(word));
        document.getElementById(row.dataset.row).hidden = row.hidden;
        left += !row.hidden;
        total += 1;
      }
      for (const cell of all(".within", board)) rank(cell, budget);
      for (const mark of all(".front [data-gradients]", board)) {
        mark.style.display = Number(mark.dataset.gradients) > most ? "none" : "";
      }
      for (const one of all(".front-list [data-gradients]", board)) one.hidden = Number(one.dataset.gradients) > most;
      board.querySelector(".filled").hidden = left === 0;
      board.querySelector(".nothing").hidden = left > 0;
      shown += left;
    }
    say(shown === total && budget === "any" ? "" : `${shown} of ${total} rows`);
  };
  form.hidden = false;
  form.addEventListener("input", choose);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(choose));

  // A row's link opens what is folded around its section.
  const open = () => {
    const section = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const fold = section && section.closest("details");
    if (!fold) return;
    fold.open = true;
    section.scrollIntoView();
  };
  addEventListener("hashchange", open);
  open();
})();
