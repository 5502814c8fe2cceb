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
    none: "as the page has it",
  };

  const AWAY = {
    store_unavailable: "what is known of you cannot be read yet",
    store_slow: "what is known of you came too late",
    model_unavailable: "there is no recommender yet",
    model_slow: "the list came too late",
    nothing_eligible: "nothing is left that may be shown",
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
      piece("span", "slot-why", AWAY[answer.fallback] ?? answer.reason),
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
