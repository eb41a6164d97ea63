// The tables of settings: sorted, filtered and opened. Without this script the page shows their first rows, and all else.
// Text from results becomes text nodes only, never markup.
"use strict";

(() => {
  const STEP = 100; // rows that are drawn at once; more on demand, so that 10,000 settings freeze nothing
  const MOST_CHOICES = 24; // a number with more values than this is filtered by a range

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "onclick" || name === "oninput") element[name] = value;
      else if (value !== null) element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  };

  const counted = (count) => count.toLocaleString("en-GB");

  /** Compare two keys; a missing one comes last whatever the direction. */
  const compare = (one, other, direction) => {
    if (one === null || other === null) return (one === null) - (other === null);
    if (typeof one === "string") return direction * one.localeCompare(other, "en", { numeric: true });
    return direction * (one - other);
  };

  /** Draw what was heard against what was said; see bench/report/heard.py for the pieces. */
  const words = (pieces) => {
    const line = make("p", { class: "words" });
    for (const piece of pieces) {
      if (typeof piece === "number") line.append(make("span", { class: "skipped" }, `[${counted(piece)} words right]`));
      else if (typeof piece === "string") line.append(piece);
      else {
        const [said, heard] = piece;
        if (said) line.append(make("del", {}, said));
        if (said && heard) line.append(" ");
        if (heard) line.append(make("ins", {}, heard));
      }
      line.append(" ");
    }
    return line;
  };

  const terms = (pairs) =>
    make("dl", {}, ...pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));

  class Trials {
    constructor(box) {
      this.box = box;
      this.data = JSON.parse(box.querySelector("script[type='application/json']").textContent);
      this.columns = this.data.columns;
      this.shown = this.columns.filter((column) => column.shown);
      this.varied = this.columns.filter((column) => column.varies);
      this.body = box.querySelector("tbody");
      this.order = this.data.trials.map((_, at) => at);
      this.kept = this.order;
      this.drawn = 0;
      this.tests = new Map();
      this.sorted = { column: null, direction: 1 };
      const worded = this.columns.filter((column) => column.varies || !column.number);
      this.texts = this.order.map((at) => worded.map((column) => column.text[at]).join(" ").toLowerCase());
      this.addTools();
      this.addSorting();
      box.querySelector(".plain")?.remove();
      this.rest = make("p", {});
      box.append(this.rest);
      this.filter();
    }

    addTools() {
      this.count = make("span", { role: "status" });
      const search = make("input", { type: "search", oninput: () => {
        const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
        this.test("text", wanted.length ? (at) => wanted.every((word) => this.texts[at].includes(word)) : null);
      } });
      const filters = this.varied.map((column) => this.filterOf(column));
      const clear = make("button", { type: "button", onclick: () => {
        for (const field of tools.querySelectorAll("input, select")) field.value = "";
        this.tests.clear();
        this.filter();
      } }, "Show all");
      const tools = make("div", { class: "tools", role: "search", "aria-label": "Filter settings" },
        make("label", {}, "Containing", search), ...filters, clear, this.count);
      this.box.querySelector(".scroll").before(tools);
    }

    filterOf(column) {
      const values = new Map(column.text.map((text, at) => [text, column.key[at]]));
      if (column.number && values.size > MOST_CHOICES) return this.rangeOf(column);
      const ordered = [...values].sort((one, other) => compare(one[1], other[1], 1));
      // The value of an option is its place: any text may be a value, the empty one too.
      const select = make("select", { oninput: () => {
        const wanted = select.value === "" ? null : ordered[Number(select.value)][0];
        this.test(column, wanted === null ? null : (at) => column.text[at] === wanted);
      } }, make("option", { value: "" }, "any"), ...ordered.map(([text], at) => make("option", { value: at }, text)));
      return make("label", {}, column.head, select);
    }

    rangeOf(column) {
      const [from, to] = ["from", "to"].map((end) => make("input", {
        type: "number", step: "any", placeholder: end, "aria-label": `${column.head}, ${end}`, oninput: () => {
          const low = from.value === "" ? -Infinity : Number(from.value);
          const high = to.value === "" ? Infinity : Number(to.value);
          const within = (at) => column.key[at] !== null && column.key[at] >= low && column.key[at] <= high;
          this.test(column, from.value === "" && to.value === "" ? null : within);
        },
      }));
      return make("label", {}, column.head, make("span", { class: "range" }, from, to));
    }

    addSorting() {
      const heads = this.box.querySelectorAll("thead th");
      this.shown.forEach((column, at) => {
        const head = heads[at];
        const button = make("button", { type: "button", onclick: () => this.sort(column) }, ...head.childNodes);
        head.replaceChildren(button);
        column.th = head;
      });
    }

    sort(column) {
      const again = this.sorted.column === column;
      this.sorted = { column, direction: again ? -this.sorted.direction : 1 };
      for (const other of this.shown) other.th.removeAttribute("aria-sort");
      column.th.setAttribute("aria-sort", this.sorted.direction > 0 ? "ascending" : "descending");
      this.order = this.data.trials.map((_, at) => at);
      this.order.sort((one, other) => compare(column.key[one], column.key[other], this.sorted.direction));
      this.filter();
    }

    test(of, passes) {
      if (passes) this.tests.set(of, passes);
      else this.tests.delete(of);
      this.filter();
    }

    filter() {
      const tests = [...this.tests.values()];
      this.kept = this.order.filter((at) => tests.every((passes) => passes(at)));
      this.body.replaceChildren();
      this.drawn = 0;
      this.draw(STEP);
    }

    draw(count) {
      const next = this.kept.slice(this.drawn, this.drawn + count);
      this.body.append(...next.map((at) => this.row(at)));
      this.drawn += next.length;
      const all = this.data.trials.length;
      const left = this.kept.length - this.drawn;
      this.count.textContent = `${counted(this.kept.length)} of ${counted(all)} settings`
        + (left ? `, the first ${counted(this.drawn)} shown` : "");
      this.rest.replaceChildren();
      if (!left) return;
      const more = Math.min(STEP, left);
      this.rest.append(make("button", { type: "button", class: "more", onclick: () => {
        const first = this.drawn;
        this.draw(STEP);
        this.body.querySelectorAll(":scope > tr > th > button")[first]?.focus();
      } }, `Show ${counted(more)} more of ${counted(left)}`));
    }

    row(at) {
      const { front, bad, trials } = this.data;
      const cells = this.shown.map((column, place) => {
        const text = column.text[at];
        if (place === 0) {
          const button = make("button", { type: "button", "aria-expanded": "false" }, front[at] ? `${text} ●` : text);
          button.onclick = () => this.toggle(button, at);
          return make("th", { scope: "row" }, button);
        }
        const last = place === this.shown.length - 1;
        return make("td", { class: column.number ? "n" : last && bad[at] ? "bad" : null }, text);
      });
      return make("tr", { class: front[at] ? "front" : null, "data-trial": trials[at] }, ...cells);
    }

    toggle(button, at) {
      const row = button.closest("tr");
      const open = button.getAttribute("aria-expanded") !== "true";
      button.setAttribute("aria-expanded", open);
      if (open) row.after(this.opened(at));
      else row.nextElementSibling.remove();
    }

    opened(at) {
      const trial = this.data.trials[at];
      const pairs = (columns) => columns.map((column) => [column.head, column.text[at]]);
      const inside = make("div", { class: "within" });
      if (this.varied.length) inside.append(make("h4", {}, "Settings"), terms(pairs(this.varied)));
      const measured = this.columns.filter((column) => !column.varies && column !== this.columns[0]);
      inside.append(make("h4", {}, "Figures"), terms(pairs(measured)), make("h4", {}, "What was heard"));
      const heard = this.data.heard[trial];
      const command = make("code", {}, `asr-sweep show ${this.data.study} ${trial}`);
      if (heard && heard.rows.length) {
        inside.append(make("p", { class: "muted" }, "Normalised, as the words are counted, most errors first. ",
          make("del", {}, "Struck out"), " was said, ", make("ins", {}, "underlined"), " was heard instead."));
        for (const row of heard.rows) {
          const faults = row.faults.map((fault) => `, ${fault}`).join("");
          inside.append(make("div", { class: "muted text" }, `${row.id}: WER ${row.wer}${faults}`), words(row.pieces));
        }
        if (heard.more) inside.append(make("p", { class: "muted" }, `${counted(heard.more)} more utterances: `, command));
      } else {
        inside.append(make("p", { class: "muted" }, "Not in this page; all of it: ", command));
      }
      return make("tr", { class: "opened" }, make("td", { colspan: this.shown.length }, inside));
    }
  }

  for (const box of document.querySelectorAll(".trials")) new Trials(box);
})();
