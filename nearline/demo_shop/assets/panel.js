// In the head and not deferred: the panel must not jump after the page is drawn. Whether
// it is open is kept for this tab, and only once somebody has moved it.
(() => {
  "use strict";
  const root = document.documentElement;
  const isWide = matchMedia("(min-width: 1080px)").matches;
  let kept = null;
  try {
    kept = sessionStorage.getItem("panel");
  } catch {}
  root.dataset.panel = kept || (isWide ? "open" : "closed");

  document.addEventListener("DOMContentLoaded", () => {
    const toggle = document.querySelector("[data-panel-toggle]");
    const show = () => {
      toggle.setAttribute("aria-expanded", String(root.dataset.panel === "open"));
    };
    toggle.addEventListener("click", () => {
      root.dataset.panel = root.dataset.panel === "open" ? "closed" : "open";
      try {
        sessionStorage.setItem("panel", root.dataset.panel);
      } catch {}
      show();
    });
    show();
  });
})();
