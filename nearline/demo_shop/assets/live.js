// Shows what the event log received. Everything is written as text, never as markup: what
// a sender put into an event must not become part of this page.
(() => {
  "use strict";
  const view = document.querySelector("[data-live]");
  const list = view.querySelector("[data-arrivals]");
  const empty = view.querySelector("[data-empty]");
  const problem = view.querySelector("[data-problem]");
  const most = Number(view.dataset.most);
  const SHOP = /^(select_|view_item|view_cart|add_|remove_|begin_)/;

  const kind = (arrival) => {
    if (arrival.is_refused) return "is-refused";
    if (arrival.name === "purchase") return "is-purchase";
    if (arrival.name === "consent") return "is-consent";
    if (SHOP.test(arrival.name)) return "is-shop";
    return arrival.name === "page_view" ? "is-page" : "is-other";
  };

  const piece = (tag, className, text) => {
    const element = document.createElement(tag);
    element.className = className;
    element.textContent = text;
    return element;
  };

  const clock = (moment) => {
    const time = new Date(moment);
    return isNaN(time) ? "" : time.toLocaleTimeString("en-GB");
  };

  const entry = (arrival) => {
    const row = piece("li", `arrival ${kind(arrival)}`, "");
    row.dataset.name = arrival.name;
    const details = document.createElement("details");
    const summary = piece("summary", "", "");
    const time = piece("time", "", clock(arrival.received_at));
    time.dateTime = arrival.received_at;
    summary.append(
      piece("span", "dot", ""),
      piece("span", "event-name", arrival.name),
      piece("span", "amount", arrival.amount),
      time,
      piece("span", "subject", arrival.subject),
      piece("span", "visitor", arrival.visitor_id),
    );
    if (arrival.is_refused)
      summary.append(piece("span", "reason", `${arrival.field}: ${arrival.reason}`));
    details.append(
      summary,
      piece("pre", "kept", JSON.stringify(arrival.kept, null, 1)),
    );
    row.append(details);
    return row;
  };

  const show = (news) => {
    if (news.is_anew) list.replaceChildren();
    for (const arrival of news.arrivals) list.prepend(entry(arrival));
    while (list.children.length > most) list.lastElementChild.remove();
    for (const name of ["accepted", "refused"])
      view.querySelector(`[data-${name}]`).textContent =
        news[`${name}_count`].toLocaleString("en");
    view.classList.toggle("has-refused", news.refused_count > 0);
    empty.hidden = list.children.length > 0;
    problem.hidden = !news.problem;
    problem.textContent = news.problem;
  };

  let source;
  const connect = () => {
    source = new EventSource("/live/stream");
    source.onopen = () => view.setAttribute("data-connected", "");
    source.onmessage = ({ data }) => show(JSON.parse(data));
    source.onerror = () => {
      view.removeAttribute("data-connected");
      problem.hidden = false;
      problem.textContent = "The shop does not answer; trying again.";
    };
  };
  // An open stream would keep the page out of the browser's back and forward cache.
  window.addEventListener("pagehide", () => source.close());
  window.addEventListener("pageshow", ({ persisted }) => persisted && connect());
  connect();

  // Money without its currency: the contract refuses it, and it becomes a dead letter.
  view
    .querySelector("[data-break]")
    ?.addEventListener("click", () =>
      nearline("event", "purchase", { transaction_id: "o_without_currency", value: 12.5 }),
    );
})();
