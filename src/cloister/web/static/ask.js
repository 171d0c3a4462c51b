"use strict";
// A slider beside each number that has a least and a greatest value. The number stays what is sent; without script it is there alone.
// The address follows the wishes, so that loading the page again, or passing it on, shows the same plan.
(() => {
  for (const number of document.querySelectorAll("input[data-slider]")) {
    const slider = document.createElement("input");
    slider.type = "range";
    for (const name of ["min", "max", "step"]) slider.setAttribute(name, number.getAttribute(name));
    slider.setAttribute("aria-label", number.labels[0].textContent);
    slider.tabIndex = 0;
    slider.value = number.value || number.placeholder || slider.min;
    slider.addEventListener("input", () => {
      number.value = slider.value; // the form hears of it: the event goes up to it
    });
    number.addEventListener("input", () => {
      slider.value = number.value || number.placeholder || slider.min;
    });
    number.before(slider);
    number.parentElement.classList.add("slid");
  }
  const form = document.querySelector("form.what-if");
  document.addEventListener("htmx:after:swap", () => {
    history.replaceState(null, "", `${form.getAttribute("action")}?${new URLSearchParams(new FormData(form))}`);
  });
})();
