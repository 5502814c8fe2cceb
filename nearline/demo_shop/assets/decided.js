// What the shop tells the slots' script of its goods, and what was decided, in the panel.
(() => {
  "use strict";
  nearlineSlots.describe(async (ids) => {
    const answer = await fetch(`/items.json?ids=${ids}`);
    return answer.json();
  });

  const list = document.querySelector("[data-decisions]");
  const note = document.querySelector("[data-decided-note]");
  const WORDS = {
    personal: "for you",
    general: "for this page",
    popular: "for everybody",
    default: "for everybody",
  };

  const piece = (tag, className, text) => {
    const element = document.createElement(tag);
    element.className = className;
    element.textContent = text;
    return element;
  };

  const age = (seconds) =>
    seconds < 120 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds / 60)} min`;

  const show = ({ slot, answer, freshness, latency_ms }) => {
    const known = freshness.feature_age_seconds;
    const row = piece("li", "", "");
    row.dataset.decision = answer.decision_id ?? "";
    row.dataset.slot = slot;
    row.append(
      piece("span", "slot-name", slot),
      piece("span", "chip", WORDS[answer.answer] ?? answer.answer),
      piece("span", "slot-why", answer.fallback ?? answer.reason),
      piece(
        "span",
        "slot-facts",
        [
          known == null ? "you are not known yet" : `newest fact of you: ${age(known)} ago`,
          `${latency_ms.toFixed(0)} ms`,
        ].join(" · "),
      ),
    );
    list.querySelector(`[data-slot="${slot}"]`)?.remove();
    list.append(row);
    if (note) note.hidden = true;
  };
  document.addEventListener("nearline:slot", ({ detail }) => show(detail));
})();
