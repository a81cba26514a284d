"use strict";
// The page is whole without this script, which adds: sorting, notes that show at once, and switches in the menu.

function sortBy(head) {
  const table = head.closest("table");
  const column = head.cellIndex;
  const first = head.querySelector("button").dataset.first;
  const ways = { down: ["descending", "ascending"], up: ["ascending", "descending"], text: ["ascending", "descending"] }[first];
  const way = head.getAttribute("aria-sort") === ways[0] ? ways[1] : ways[0];
  const sign = way === "ascending" ? 1 : -1;
  const keyOf = (row) => {
    const value = row.cells[column].dataset.v;
    return value === undefined || first === "text" ? value : Number(value);
  };
  const compare = (a, b) => {
    if (a.key === undefined || b.key === undefined) return (a.key === undefined) - (b.key === undefined);
    return sign * (first === "text" ? a.key.localeCompare(b.key) : a.key - b.key);
  };
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => ({ row, key: keyOf(row) })).sort(compare);
  for (const { row } of rows) {
    row.querySelector(".rank").textContent = row.cells[column].dataset.rank ?? "";
    body.append(row);
  }
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", way);
}

const tip = document.createElement("div");
tip.id = "tip";
tip.role = "tooltip";
tip.hidden = true;
document.body.append(tip);
let tipOf = null;

// What there is to say of an element. Native titles are taken over once, so that they don't show a second time.
function noteOf(element) {
  const drawn = element.querySelector(":scope > svg > title");
  if (drawn) {
    drawn.parentElement.setAttribute("aria-label", drawn.textContent);
    const head = element.closest("table").tHead.rows[0].cells[element.cellIndex];
    noteOf(head);
    element.dataset.tip = head.dataset.tip ? drawn.textContent + "\n" + head.dataset.tip : drawn.textContent;
    drawn.remove();
  }
  if (element.title) {
    element.dataset.tip = element.title;
    element.removeAttribute("title");
  }
  return element.dataset.tip;
}

function show(target) {
  const element = target instanceof Element ? target.closest(".board [title], .board td, .board [data-tip]") : null;
  if (element === tipOf) return;
  hide();
  const note = element && noteOf(element);
  if (!note) return;
  tip.textContent = note;
  tip.hidden = false;
  tipOf = element;
  place();
}

function place() {
  if (!tipOf) return;
  const box = tipOf.getBoundingClientRect();
  const size = tip.getBoundingClientRect();
  const below = box.bottom + 6 + size.height <= window.innerHeight;
  tip.style.left = `${Math.max(8, Math.min(box.left, document.documentElement.clientWidth - size.width - 8))}px`;
  tip.style.top = `${Math.max(8, below ? box.bottom + 6 : box.top - size.height - 6)}px`;
}

function hide() {
  tip.hidden = true;
  tipOf = null;
}

document.addEventListener("pointerover", (event) => show(event.target));
document.addEventListener("focusin", (event) => show(event.target));
document.addEventListener("focusout", hide);
document.addEventListener("scroll", place, { capture: true, passive: true });
document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

document.addEventListener("click", (event) => {
  const head = event.target.closest("thead button[data-first]")?.closest("th");
  if (head) sortBy(head);
});

for (const menu of document.querySelectorAll(".menu")) {
  const boxes = Array.from(menu.querySelectorAll("input"));
  const count = () => {
    menu.querySelector(".count").textContent = `${boxes.filter((box) => box.checked).length} of ${boxes.length}`;
  };
  for (const group of menu.querySelectorAll("fieldset")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "all";
    button.addEventListener("click", () => {
      const own = Array.from(group.querySelectorAll("input"));
      const checked = !own.every((box) => box.checked);
      for (const box of own) box.checked = checked;
      count();
    });
    group.querySelector("legend").append(button);
  }
  menu.addEventListener("change", count);
}
