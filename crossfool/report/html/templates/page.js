"use strict";
// Without this script the page shows and downloads everything but sorts, filters, copies and picks nothing.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const say = (text) => { document.getElementById("said").textContent = text; };
  const text = (element) => element.textContent.trim().replace(/\s+/g, " ");

  // Colours: as the system has them, light or dark.
  const themes = ["", "light", "dark"];
  const theme = document.getElementById("theme");
  const stored = (value) => {
    try {
      if (value === undefined) return localStorage.getItem("crossfool-theme") || "";
      localStorage.setItem("crossfool-theme", value);
    } catch { /* a page from a file may have no storage */ }
    return value || "";
  };
  const paint = (name) => {
    if (name) document.documentElement.dataset.theme = name;
    else delete document.documentElement.dataset.theme;
    theme.dataset.now = name;
    theme.textContent = `Colours: ${name || "as the system"}`;
  };
  paint(themes.includes(stored()) ? stored() : "");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const next = themes[(themes.indexOf(theme.dataset.now) + 1) % themes.length];
    paint(next);
    stored(next);
  });

  // When: the page's bytes are equal for equal results and hold no date; its file has one.
  const written = new Date(document.lastModified);
  if (!Number.isNaN(written.getTime())) {
    for (const fact of all(".facts .when")) {
      fact.querySelector("dd").textContent = written.toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" });
      fact.hidden = false;
    }
  }

  // Sorting: a column's head is a button; numbers by value, empty cells last.
  const key = (cell) => {
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    return text(cell) === "–" ? "" : text(cell);  // no value: last, whichever way
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return a.localeCompare(b, "en", { numeric: true });
  };
  const sort = (head) => {
    const table = head.closest("table");
    const body = table.tBodies[0];
    const down = head.getAttribute("aria-sort") === "ascending";
    const place = head.cellIndex;
    const rows = [...body.rows].map((row) => [key(row.cells[place]), row]);
    rows.sort(([a], [b]) => a === "" || b === "" ? (a === "") - (b === "") : (down ? compare(b, a) : compare(a, b)));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows.map(([, row]) => row));
    say(`Sorted by ${text(head)}, ${down ? "descending" : "ascending"}`);
  };
  for (const head of all("table.sortable thead th")) {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(head));
  }

  // Choice and filters: one heat map by attack and criterion, rows and columns by source and target; other tables by
  // any text of a row. What is not chosen is left out on the screen alone: on paper there is everything.
  const has = (whole, part) => whole.toLowerCase().includes(part.trim().toLowerCase());
  const choose = (form, sheets) => {
    const { attack, metric } = form.elements;
    if (!attack) return;
    const parts = (sheet) => sheet.dataset.name.split("-");  // names of attacks have no hyphen
    const has_both = sheets.some((sheet) => parts(sheet)[0] === attack.value && parts(sheet)[1] === "top5");
    if (metric) metric.disabled = attack.value !== "" && !has_both;
    for (const sheet of sheets) {
      const [name, criterion] = parts(sheet);
      const wanted = !metric || metric.disabled || ["", criterion].includes(metric.value);
      sheet.classList.toggle("unchosen", !(["", name].includes(attack.value) && wanted));
    }
  };
  const filter = (form) => {
    const asked = (name) => form.elements[name]?.value ?? "";
    const blackbox = form.elements.blackbox?.checked ?? false;
    const sheets = all(".sheet", form.parentElement);
    choose(form, sheets);
    let shown = 0, total = 0;
    for (const sheet of sheets) {
      const table = sheet.querySelector("table");
      const columns = [...table.tHead.rows[0].cells].map((head, place) => !place || has(text(head), asked("column")));
      let left = 0;
      for (const row of table.tBodies[0].rows) {
        const wanted = has(text(row.cells[0]), asked("row")) && has(text(row), asked("any"));
        row.hidden = !wanted;
        left += wanted;
      }
      for (const row of table.rows) {
        for (const cell of row.cells) {
          cell.hidden = !columns[cell.cellIndex];
          cell.classList.toggle("masked", blackbox && cell.classList.contains("whitebox"));
        }
      }
      sheet.hidden = !(left > 0 && columns.slice(1).some(Boolean));
      if (sheet.classList.contains("unchosen")) continue;
      total += form.elements.any ? table.tBodies[0].rows.length : 1;
      shown += form.elements.any ? left : !sheet.hidden;
    }
    const kind = form.elements.any ? "rows" : "tables";
    form.querySelector(".count").textContent = shown === total ? "" : `${shown} of ${total} ${kind}`;
    return form.querySelector(".count").textContent || `${total} ${total === 1 ? kind.slice(0, -1) : kind} shown`;
  };
  for (const form of all("form.filters")) {
    form.hidden = false;
    filter(form);
    form.addEventListener("input", () => say(filter(form)));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(() => say(filter(form))));
  }

  // Cells with the paper's figure: one stop of the Tab key a table, the arrows from there.
  for (const table of all("table.heat")) {
    const cells = all("td.has", table);
    cells.slice(1).forEach((cell) => { cell.tabIndex = -1; });
    table.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      const cell = event.target.closest("td.has");
      if (!way || !cell) return;
      const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden);
      let down = rows.indexOf(cell.parentElement), across = cell.cellIndex, next = null;
      do {
        down += way[0];
        across += way[1];
        next = rows[down]?.cells[across];
      } while (next && (next.hidden || !next.classList.contains("has")));
      if (!next) return;
      event.preventDefault();
      cell.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
  }

  // Copying and saving.
  const copy = async (value) => {
    try {
      await navigator.clipboard.writeText(value);
    } catch {
      const area = document.createElement("textarea");
      area.value = value;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  };
  const source = (button) => {
    const { text: plain, from, kind } = button.dataset;
    if (plain !== undefined) return plain;
    if (from !== undefined) return document.getElementById(from).textContent;
    const link = button.closest(".sheet").querySelector(`a[download$=".${kind}"]`);
    return decodeURIComponent(link.getAttribute("href").replace(/^[^,]*,/, ""));
  };
  for (const button of all("button.copy")) {
    button.hidden = false;
    const was = button.textContent;
    button.addEventListener("click", async () => {
      await copy(source(button));
      button.textContent = "Copied";
      say("Copied");
      setTimeout(() => { button.textContent = was; }, 1500);
    });
  }
  for (const button of all("button.save")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = button.closest("figure").querySelector("img").src;
      link.download = button.dataset.name;
      link.click();
    });
  }

  // The gallery: an adversarial image is the clean one plus the stored difference, modulo 256.
  const webp = (base64) => `data:image/webp;base64,${base64}`;
  const load = (source) => new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = reject;
    image.src = source;
  });
  const canvas = (width, height) => Object.assign(document.createElement("canvas"), { width, height });
  const pixels = (image) => {
    const pen = canvas(image.width, image.height).getContext("2d", { willReadFrequently: true });
    pen.drawImage(image, 0, 0);
    return pen.getImageData(0, 0, image.width, image.height);
  };
  const drawn = (data) => {
    const sheet = canvas(data.width, data.height);
    sheet.getContext("2d").putImageData(data, 0, 0);
    return sheet.toDataURL("image/png");
  };
  const attacked = (clean, difference, gain) => {
    const { width, height } = clean;
    const adversarial = new ImageData(width, height), perturbation = new ImageData(width, height);
    for (let at = 0; at < width * height; at++) {
      for (let colour = 0; colour < 3; colour++) {
        const here = 4 * at + colour;
        const was = clean.data[here], is = was + difference.data[here] & 255;
        adversarial.data[here] = is;
        perturbation.data[here] = 128 + gain * (is - was);
      }
      adversarial.data[4 * at + 3] = perturbation.data[4 * at + 3] = 255;
    }
    return [adversarial, perturbation];
  };
  const list = (top, label, aim, classes) => {
    const answers = document.createElement("ol");
    for (const one of top) {
      const item = document.createElement("li");
      item.textContent = classes[one] + (one === label ? " ✓" : one === aim ? " ◎" : "");
      if (one === label || one === aim) item.className = one === label ? "right" : "aim";
      answers.append(item);
    }
    return answers;
  };
  for (const gallery of all("section.gallery")) {
    const form = gallery.querySelector("form");
    const find = (selector) => gallery.querySelector(selector);
    const first = find("img.clean").src;
    let data = null, turn = 0;
    const show = async () => {
      const mine = ++turn;
      data ??= JSON.parse(find("script").textContent);
      const image = data.images[form.elements.image.value];
      const name = form.elements.source.value, attack = form.elements.attack.value;
      const options = [...form.elements.attack.options];
      for (const one of options) one.disabled = !image.cells.some((cell) => cell.source === name && cell.attack === one.value);
      const cell = image.cells.find((one) => one.source === name && one.attack === attack);
      if (!cell) {
        form.elements.attack.value = options.find((one) => !one.disabled).value;
        return show();
      }
      const whole = image.clean ? webp(image.clean) : first;
      const gain = Math.min(Math.max(Number(form.elements.gain.value) || 1, 1), 128);
      const [clean, difference] = (await Promise.all([load(whole), load(webp(cell.difference))])).map(pixels);
      if (mine !== turn) return;
      const [adversarial, perturbation] = attacked(clean, difference, gain);
      const told = `${image.file}: ${data.classes[image.label]}`;
      const aim = data.targeted.includes(attack) ? image.target_label : null;
      find("img.clean").src = drawn(clean);
      find("img.clean").alt = `Clean image: ${told}`;
      find("img.adversarial").src = drawn(adversarial);
      find("img.adversarial").alt = `Adversarial image by ${attack} from ${name}`;
      find("img.perturbation").src = drawn(perturbation);
      find("img.perturbation").alt = `Perturbation times ${gain}`;
      find(".gain").textContent = gain;
      find(".what").textContent = `${told}; source ${name}, attack ${attack}`
        + (aim === null ? "" : `; aimed at: ${data.classes[aim]}`);
      data.targets.forEach((target, place) => {
        const row = find(".answers").tBodies[0].rows[place];
        row.cells[1].replaceChildren(list(image.before[place], image.label, aim, data.classes));
        row.cells[2].replaceChildren(list(cell.after[place], image.label, aim, data.classes));
      });
      say(`Shown: ${find(".what").textContent}`);
    };
    form.hidden = false;
    form.addEventListener("input", show);
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  // On paper everything is open.
  addEventListener("beforeprint", () => all("details").forEach((one) => { one.dataset.was ??= one.open; one.open = true; }));
  addEventListener("afterprint", () => all("details").forEach((one) => {
    one.open = one.dataset.was === "true";
    delete one.dataset.was;
  }));
})();
