"use strict";
// Small comforts that the pages do without where there is no script. Nothing here asks the server for anything.
(() => {
  document.documentElement.classList.add("scripted");

  // What is larger than its region can be scrolled with the keyboard; a table that is `stacked` gets its headers into its cells.
  const watch = new ResizeObserver((entries) => {
    for (const { target } of entries) region(target);
  });
  const region = (box) => {
    if (box.scrollWidth <= box.clientWidth && box.scrollHeight <= box.clientHeight + 1) {
      for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
      return;
    }
    const named = box.querySelector("caption") ?? box.closest("section, article, main")?.querySelector("h1, h2, h3");
    box.setAttribute("tabindex", "0");
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", named?.textContent.trim() || "Scrolls");
  };
  const label = (table) => {
    const heads = [...table.querySelectorAll("thead th")].map((head) => head.textContent.trim());
    if (!heads.length) return;
    const roles = [["tbody", "rowgroup"], ["tr", "row"], ["td", "cell"], ["tbody th", "rowheader"], ["thead th", "columnheader"]];
    for (const [names, role] of roles) for (const part of table.querySelectorAll(names)) part.setAttribute("role", role);
    for (const row of table.querySelectorAll("tbody tr")) {
      [...row.cells].forEach((cell, index) => {
        if (cell.tagName === "TD" && heads[index]) cell.dataset.label = heads[index];
      });
    }
    table.setAttribute("role", "table");
    table.dataset.labelled = "";
  };
  // Moments are written in UTC; whoever reads them here sees their own clock's time, with the zone and UTC behind it.
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const two = (value) => String(value).padStart(2, "0");
  const zone = new Intl.DateTimeFormat().resolvedOptions().timeZone ?? "this computer's time";
  const local = (time) => {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime()) || !time.textContent.endsWith("UTC")) return;
    time.title = `${zone}; ${time.textContent}`;
    time.textContent = `${at.getDate()} ${MONTHS[at.getMonth()]} ${at.getFullYear()} ${two(at.getHours())}:${two(at.getMinutes())}`;
  };
  const dress = (root) => {
    root.querySelectorAll("time[data-when]").forEach(local);
    for (const box of root.querySelectorAll(".scroll, pre")) watch.observe(box);
    root.querySelectorAll("table.stacked").forEach(label);
    for (const shown of root.querySelectorAll("output[for]")) show(shown.htmlFor[0]);
  };

  // What a slider is set to.
  const show = (id) => {
    const input = document.getElementById(id);
    const shown = document.querySelector(`output[for~="${CSS.escape(id)}"]`);
    if (input && shown && !shown.hasAttribute("data-served")) shown.textContent = input.value + (shown.dataset.unit ?? "");
  };
  document.addEventListener("input", ({ target }) => target.id && show(target.id));

  document.addEventListener("click", async ({ target }) => {
    const button = target.closest?.("[data-copy]");
    if (!button) return;
    const before = button.textContent;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => { button.textContent = before; }, 1500);
  });

  // A form is sent once. The browser's way back makes it usable again.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented) return;
    if (form.getAttribute("aria-busy") === "true") event.preventDefault();
    // What is downloaded leaves the page where it is.
    else if (form.method === "post" && !("download" in form.dataset)) form.setAttribute("aria-busy", "true");
  });
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll('form[aria-busy="true"]')) form.removeAttribute("aria-busy");
  });

  document.addEventListener("htmx:after:swap", () => dress(document));
  dress(document);
})();
