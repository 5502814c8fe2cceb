// The banner and the privacy page: shows what holds and passes the choice on. What is
// allowed is the tracker's to keep; nothing is stored here.
(() => {
  "use strict";
  const PURPOSES = ["analytics", "personalization", "marketing"];
  const WORDS = {
    analytics: "measuring",
    personalization: "personalization",
    marketing: "marketing",
  };
  const box = document.querySelector("[data-consent-box]");
  const isBanner = box.classList.contains("banner");
  const purposes = box.querySelector("[data-purposes]");
  const chooser = box.querySelector("[data-consent=choose]");
  const withdraw = box.querySelector("[data-withdraw]");

  const inWords = (state) => {
    const allowed = PURPOSES.filter((name) => state[name]).map((name) => WORDS[name]);
    if (!state.decided) return "You have not chosen yet: nothing is noted.";
    if (!state.analytics) return "You said no: nothing is noted.";
    return `You allow ${allowed.join(", ")} (notice ${state.notice_version}).`;
  };

  const follow = () => {
    // Without measuring nothing is noted that the others could be used for.
    const { analytics, personalization, marketing } = purposes.elements;
    const isRuledOut = !analytics.checked || purposes.dataset.gpc === "true";
    for (const purpose of [personalization, marketing]) {
      purpose.disabled = isRuledOut;
      if (isRuledOut) purpose.checked = false;
    }
  };

  const show = (state) => {
    if (isBanner) box.hidden = state.decided;
    if (withdraw) withdraw.hidden = !state.analytics;
    box.querySelector("[data-gpc]").hidden = !state.gpc;
    purposes.dataset.gpc = String(state.gpc);
    for (const name of PURPOSES) purposes.elements[name].checked = state[name];
    follow();
    for (const place of document.querySelectorAll("[data-consent-state]"))
      place.textContent = inWords(state);
    document.documentElement.dataset.consent = state.analytics ? "given" : "none";
  };

  const read = () => nearline("get", show);

  const decide = (choice) => {
    const hadFocus = box.contains(document.activeElement);
    nearline("consent", choice);
    purposes.hidden = true;
    chooser.setAttribute("aria-expanded", "false");
    read();
    if (isBanner && hadFocus)
      document.getElementById("content").focus({ preventScroll: true });
  };

  const sameForAll = (answer) =>
    Object.fromEntries(PURPOSES.map((name) => [name, answer]));

  box.addEventListener("click", ({ target }) => {
    const { consent } = target.closest("[data-consent]")?.dataset ?? {};
    if (consent === "all") decide(sameForAll(true));
    if (consent === "necessary") decide(sameForAll(false));
    if (consent === "choose") {
      purposes.hidden = !purposes.hidden;
      chooser.setAttribute("aria-expanded", String(!purposes.hidden));
      if (!purposes.hidden) purposes.elements.analytics.focus();
    }
  });
  purposes.addEventListener("change", follow);
  purposes.addEventListener("submit", (event) => {
    event.preventDefault();
    decide(
      Object.fromEntries(
        PURPOSES.map((name) => [name, purposes.elements[name].checked]),
      ),
    );
  });
  // The answer may have been given in another tab.
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") read();
  });
  read();
})();
