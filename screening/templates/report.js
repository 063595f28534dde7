async (DataTable) => {
  "use strict";
  // The rows are JSON, gzipped and in base64: of 20,000 of them a fourth of the text.
  const packed = atob(document.getElementById("table-content").textContent);
  const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
  const content = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
  const columns = content.columns;
  const at = (name, row) => {
    const column = columns[name];
    if (column === undefined) return null;
    return Array.isArray(column) ? column[row] : column.values[column.codes[row]];
  };
  const minus = (text) => text.replace("-", "−");
  const number = (value, digits = 3) => {
    if (value === null) return "–";
    const size = Math.abs(value);
    return minus(size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(1) : String(Number(value.toPrecision(digits))));
  };
  const signed = (value) => (value === null ? "–" : minus((value >= 0 ? "+" : "") + value.toFixed(3)));
  const fixed = (value) => (value === null ? "–" : minus(value.toFixed(3)));
  const whole = (value) => (value === null ? "–" : value.toLocaleString("en"));

  // Everything is made as nodes with text, never as HTML: names of drugs and genes may hold anything.
  const node = (tag, text, attributes = {}) => {
    const made = document.createElement(tag);
    if (text !== "") made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const drawn = (tag, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const [least, most] = content.span;
  const place = (value) => Math.min(82, Math.max(2, 4 + (76 * (value - least)) / (most - least || 1)));
  const bar = (row) => {
    const [low, middle, high] = ["low", "middle", "high"].map((name) => at(name, row));
    const svg = drawn("svg", { class: "bar", viewBox: "0 0 84 14", "aria-hidden": "true" });
    svg.append(drawn("line", { class: "zero", x1: place(0), x2: place(0), y1: 0, y2: 14 }));
    if (low !== null && high !== null) svg.append(drawn("line", { class: "range", x1: place(low), x2: place(high), y1: 7, y2: 7 }));
    if (middle !== null) svg.append(drawn("circle", { class: "dot", cx: place(middle), cy: 7, r: 3.2 }));
    return svg;
  };
  const interval = (row) => {
    const cell = node("span", "");
    if (at("middle", row) === null) return node("span", "–");
    cell.append(bar(row), `${fixed(at("low", row))} to ${fixed(at("high", row))}`);
    return cell;
  };
  const chip = (word) => node("span", word, { class: `chip chip-${word.replace(/[^a-z]+/g, "-")}` });

  const facts = (row) => {
    const seen = at("training_cells", row) === null ? null : `${whole(at("training_cells", row))} here, ${whole(at("training_cells_all", row))} in all contexts (${(at("support", row) || "").replaceAll("_", " ")})`;
    const ranks = at("rank_low", row) === null ? null : `${whole(at("rank_low", row))} to ${whole(at("rank_high", row))} (90 % interval)`;
    const error = at("score", row) === null ? null : `${number(at("score_se", row))} Monte Carlo` + (at("score_sd", row) === null ? "" : `, ${number(at("score_sd", row))} between members`);
    return [
      ["Why", at("decision_reason", row) || at("reason", row)], ["Type", at("perturbation_type", row)], ["Ranks", ranks],
      ["Error of score", error], ["Rises most", at("top_up", row)], ["Falls most", at("top_down", row)],
      ["Training cells", seen], ["Gate", at("gate", row)],
    ].filter(([, text]) => text);
  };
  const detail = (row) => {
    const box = node("div", "", { class: "detail" });
    const list = node("dl", "", { class: "facts" });
    for (const [term, text] of facts(row)) list.append(node("dt", term), node("dd", text));
    box.append(list);
    const anchor = at("evidence", row);
    if (anchor) box.append(node("a", "Evidence for it", { href: `#${anchor}` }));
    return box;
  };

  const plain = (name) => (_, kind, row) => (kind === "display" ? node("span", at(name, row[0]) ?? "–") : (at(name, row[0]) ?? ""));
  const measured = (name, write) => (_, kind, row) => {
    const value = at(name, row[0]);
    if (kind === "display") return node("span", write(value));
    if (kind === "filter") return value === null ? "" : String(value);
    return value;
  };
  const opener = (_, kind, row) => {
    if (kind !== "display") return "";
    const label = `Details of ${at("perturbation", row[0])} in ${at("context", row[0])}`;
    return node("button", "+", { class: "more", type: "button", "aria-expanded": "false", "aria-label": label });
  };
  // What has no number stands last, whichever way is up.
  const lastIfNone = (compare) => (a, b) => (a === b ? 0 : a === null ? 1 : b === null ? -1 : compare(a, b));
  Object.assign(DataTable.ext.type.order, {
    "measured-asc": lastIfNone((a, b) => a - b),
    "measured-desc": lastIfNone((a, b) => b - a),
  });
  const hidden = (_, kind, row) => ["top_up", "top_down", "perturbation_type"].map((name) => at(name, row[0]) ?? "").join(" ");
  const order = { hit: 0, undecided: 1, not: 2, refused: 3, failed: 4 };
  const decision = (_, kind, row) => {
    const word = at("decision", row[0]);
    if (kind === "display") return chip(word);
    return kind === "sort" ? (order[word] ?? 5) : word;
  };
  const shown = [
    { title: '<span class="hidden">Details</span>', render: opener, orderable: false, searchable: false },
    { title: "Rank", render: measured("rank", whole), type: "measured", className: "number", searchable: false },
    { title: "Perturbation", render: plain("perturbation"), type: "string", className: "name" },
    { title: "Context", render: plain("context"), type: "string", className: "context" },
    { title: "Decision", render: decision, type: "string" },
    { title: "Score", render: measured("score", signed), orderSequence: ["desc", "asc"], type: "measured", className: "number", searchable: false },
    {
      title: content.interval === "posterior" ? "Effect above null, 90 %" : "90 % Monte Carlo interval",
      render: (value, kind, row) => (kind === "display" ? interval(row[0]) : at("middle", row[0])),
      type: "measured", orderSequence: ["desc", "asc"], searchable: false, className: "interval",
    },
    { title: "q", render: measured("q_value", (value) => number(value, 2)), type: "measured", className: "number", searchable: false },
    { title: "Cells", render: measured("training_cells", whole), type: "measured", className: "number", searchable: false },
    { title: "Gate", render: plain("gate"), type: "string" },
    { title: "Genes", render: hidden, visible: false },
  ];
  // A gate that is the same everywhere stands in the details, and in its own section.
  if (columns.gate === undefined || columns.gate.values.length < 2) shown[9].visible = false;
  if (!columns.q_value || columns.q_value.every((value) => value === null)) shown[7].visible = false;

  const table = new DataTable("#hits", {
    data: Array.from({ length: content.rows }, (_, row) => [row]),
    columns: shown.map((column, index) => ({ data: null, orderSequence: ["asc", "desc"], ...column, targets: index })),
    order: [[1, "asc"]],
    pageLength: 25,
    lengthMenu: [10, 25, 50, 100],
    deferRender: true,
    autoWidth: false,
    layout: { topStart: null, topEnd: null, bottomStart: ["pageLength", "info"], bottomEnd: "paging" },
    language: {
      info: "_START_ to _END_ of _TOTAL_", infoEmpty: "nothing to show", infoFiltered: "(of _MAX_)", zeroRecords: "No condition fits; clear the search and the filters.",
      lengthMenu: "_MENU_ rows a page", emptyTable: "There is no condition in this table.",
    },
  });
  const box = document.querySelector("#hits-box .dt-layout-table");
  for (const [name, value] of [["role", "region"], ["tabindex", "0"], ["aria-labelledby", "table-title"]]) box.setAttribute(name, value);

  const search = document.getElementById("search");
  const filters = [["filter-context", 3, "context"], ["filter-decision", 4, "decision"]];
  const count = document.getElementById("found");
  for (const [id, , name] of filters) {
    const box = document.getElementById(id);
    const words = [...new Set(columns[name].codes)].map((code) => columns[name].values[code]);
    words.sort((a, b) => (name === "decision" ? (order[a] ?? 5) - (order[b] ?? 5) : a.localeCompare(b)));
    for (const word of words) box.append(node("option", word, { value: word }));
  }
  const draw = () => {
    table.search(search.value);
    for (const [id, index] of filters) {
      const value = document.getElementById(id).value;
      table.column(index).search(value, { exact: value !== "", smart: value === "" });
    }
    table.draw();
  };
  table.on("draw", () => {
    const { recordsDisplay, recordsTotal } = table.page.info();
    count.textContent = recordsDisplay === recordsTotal ? `${whole(recordsTotal)} conditions` : `${whole(recordsDisplay)} of ${whole(recordsTotal)} conditions`;
  });
  let waiting;
  search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(draw, 120); });
  for (const [id] of filters) document.getElementById(id).addEventListener("change", draw);
  document.getElementById("clear").addEventListener("click", () => {
    search.value = "";
    for (const [id] of filters) document.getElementById(id).value = "";
    table.order([1, "asc"]);
    draw();
    search.focus();
  });
  draw();

  document.querySelector("#hits tbody").addEventListener("click", (event) => {
    const button = event.target.closest("button.more");
    if (!button) return;
    const row = table.row(button.closest("tr"));
    const open = row.child.isShown();
    if (open) row.child.hide();
    else row.child(detail(row.data()[0])).show();
    button.setAttribute("aria-expanded", String(!open));
    button.textContent = open ? "+" : "−";
  });

  // A link to evidence opens what it leads to.
  const reveal = () => {
    const target = location.hash.length > 1 ? document.getElementById(location.hash.slice(1)) : null;
    if (!target || target.tagName !== "DETAILS") return;
    for (let box = target; box; box = box.parentElement.closest("details")) box.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();
  document.documentElement.dataset.ready = "yes";
}
