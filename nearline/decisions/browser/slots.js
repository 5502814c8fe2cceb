/*
 * Nearline's slots: fills the marked places of a page with what was decided for the visitor.
 * One classic script, no dependency, no build step, written like `tracker.js` and served
 * like it: without comments. `slots.d.ts` describes it to those who call it.
 *
 *   <script src="https://decide.example/v1/slots.js" data-key="..."></script>
 *   <div data-nearline-slot="home_banner">what everybody else sees</div>
 *
 * The rule above all others: nothing changes under the reader's eyes. What stands in the
 * page, the default, is hidden (its space is kept) until there is an answer, for
 * `data-budget` milliseconds at most. Once it was shown it stays, and an answer that comes
 * later fills only what the reader has not reached yet.
 *
 * Who is asked for, and whether one may ask at all, is what the tracker says at that
 * moment; nothing is kept here. Content is written as text and never as markup.
 */
(() => {
  "use strict";

  const script = document.currentScript;
  if (window.nearlineSlots || !script) return;

  // --- Settings: the script tag's data attributes -----------------------------------

  const {
    key = "",
    api,
    budget = 300,
    // "general": without consent, too, an answer is asked for, by no id.
    withoutConsent,
    pageType,
    item,
    channel,
    campaign,
  } = script.dataset;
  const endpoint = api
    ? `${api.replace(/\/+$/, "")}/v1/decide`
    : new URL("decide", script.src);

  const SLOT = "data-nearline-slot";
  const ITEM = "data-nearline-item-id";
  const STATE = "data-nearline-state";
  const ANSWER = "data-nearline-answer";
  // The service refuses more in one request.
  const SLOTS_CAP = 20;
  // An answer that takes longer than this is not waited for: nothing is left to fill.
  const PATIENCE = 5e3;
  // Half of it for a second is what counts as seen (IAB and MRC, viewable impression).
  const SEEN_SHARE = 0.5;
  const SEEN_TIME = 1e3;
  const STEPS = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];
  const PURPOSES = ["analytics", "personalization", "marketing"];

  let page = { page_type: pageType, item, channel, campaign };

  // An error in the page's own functions is told like any other of the page, and leaves
  // the default in place.
  const told = (error) => (window.reportError ?? console.error)(error);

  // --- The tracker: who it is and what was agreed to, asked anew each time -------------

  window.nearline ||= function () {
    (nearline.q = nearline.q || []).push(arguments);
  };
  const tracker = () => new Promise((resolve) => nearline("get", resolve));

  // Whether what was asked under one state may still be shown under another.
  const covers = (state, said) =>
    !said.visitor_id ||
    (state.visitor_id == said.visitor_id &&
      PURPOSES.every((purpose) => state[purpose] || !said[purpose]));

  // --- Slots: what is known of each element --------------------------------------------

  const records = new WeakMap();
  const every = () =>
    [...document.querySelectorAll(`[${SLOT}]`)]
      .map((element) => records.get(element))
      .filter(Boolean);

  const isVisible = () => document.visibilityState == "visible";
  const hasFocus = ({ element }) => element.contains(document.activeElement);

  const hide = (record) => {
    const { style } = record.element;
    record.before = style.visibility;
    record.isHidden = true;
    // By the object model: a strict content security policy allows that.
    style.visibility = "hidden";
  };

  const settle = (record, state) => {
    const { element } = record;
    clearTimeout(record.timer);
    element.removeAttribute("aria-busy");
    element.setAttribute(STATE, state);
    if (record.isHidden) element.style.visibility = record.before;
    record.isHidden = false;
    look(record);
  };

  // Whether the reader would see it change.
  const isFree = ({ element, wasSeen, freeUntil }) =>
    performance.now() < freeUntil ||
    // By us, or by the page's own style until there is a state.
    getComputedStyle(element).visibility == "hidden" ||
    !element.getClientRects().length ||
    // Above the reader, other heights would move what is being read.
    (!wasSeen && element.getBoundingClientRect().top >= innerHeight);

  // --- Exposure: at least half of it, for a second, in a tab that is looked at ----------

  const look = (record) => {
    const { decision, isInView, isHalf, isHidden } = record;
    if (isInView && isVisible() && !isHidden) record.wasSeen = true;
    if (isHalf && isVisible() && !isHidden && decision?.id && !decision.isTold)
      record.dwell ||= setTimeout(expose, SEEN_TIME, record);
    else record.dwell = clearTimeout(record.dwell);
  };

  const expose = ({ decision }) => {
    // The same slot may stand twice in a page.
    if (!decision || decision.isTold) return;
    decision.isTold = true;
    const facts = { decision_id: decision.id, slot: decision.slot };
    const arms = Object.entries(decision.arms);
    for (const [experiment_key, variant_key] of arms)
      nearline("event", "exposure", { ...facts, experiment_key, variant_key });
    if (!arms[0]) nearline("event", "slot_visible", facts);
  };

  const viewer = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        const record = records.get(entry.target);
        record.isInView = entry.isIntersecting;
        // What is higher than the window can never be seen by half.
        record.isHalf =
          entry.isIntersecting &&
          (entry.intersectionRatio >= SEEN_SHARE ||
            entry.intersectionRect.height >= innerHeight * SEEN_SHARE);
        look(record);
      }
    },
    { threshold: STEPS },
  );

  // --- Outcomes: through the tracker, whose queue outlives the page that a click leaves --

  const outcome = (element, kind, { content, reward } = {}) => {
    const { decision } = records.get(element.closest(`[${SLOT}]`)) ?? {};
    content ??= element.closest(`[${ITEM}]`)?.getAttribute(ITEM) ?? decision?.block;
    const once = `${kind} ${content}`;
    if (!decision?.id || decision.outcomes.has(once)) return;
    decision.outcomes.add(once);
    const facts = { decision_id: decision.id, kind, slot: decision.slot };
    nearline("event", "response", { ...facts, content: content ?? undefined, reward });
  };

  const click = (event) => {
    const target = event.composedPath()[0];
    // The right button opens a menu and follows nothing.
    if (event.button < 2 && target.closest?.(`[${SLOT}]`)) {
      const clicked = target.closest("a[href],area[href],button,[data-nearline-click]");
      if (clicked) outcome(clicked, "click");
    }
  };

  // --- Rendering: text, and links to http(s) alone ----------------------------------------

  const text = (value) =>
    typeof value == "string" || typeof value == "number" ? `${value}` : null;

  const address = (value) => {
    if (typeof value != "string" || !value) return;
    try {
      const url = new URL(value, document.baseURI);
      if (/^https?:$/.test(url.protocol)) return url.href;
    } catch {}
  };

  const piece = (tag, name, value) => {
    const element = document.createElement(tag);
    element.className = `nearline-${name}`;
    if (value != null) element.textContent = value;
    return element;
  };

  // An element of each value that is there; those of a link within it, if it is one.
  const entry = (tag, name, values, fields) => {
    const element = piece(tag, name);
    const href = address(values.link);
    const inner = href ? element.appendChild(piece("a", "link")) : element;
    if (href) inner.href = href;
    const src = address(values.image);
    if (src)
      inner.append(
        Object.assign(piece("img", "image"), { src, alt: text(values.alt) ?? "" }),
      );
    for (const field of fields)
      if (text(values[field]))
        inner.append(piece("span", field, text(values[field])), " ");
    return element;
  };

  const built = ({ kind, items, ...values }) => {
    if (kind != "items")
      return entry("p", kind == "banner" ? "banner" : "message", values, [
        "title",
        "text",
        "action",
      ]);
    const list = piece("ul", "items");
    for (const each of items) {
      const line = entry("li", "item", each, ["title", "price", "reason"]);
      line.setAttribute(ITEM, each.item_id);
      list.append(line);
    }
    return items[0] && list;
  };

  // A <template> of the page: what it marks is filled, and goes where there is no value.
  const bind = (root, values) => {
    const marked = (name, use) => {
      for (const element of root.querySelectorAll(`[data-nearline-${name}]`)) {
        const field = element.getAttribute(`data-nearline-${name}`);
        element.removeAttribute(`data-nearline-${name}`);
        use(element, values[field]);
      }
    };
    marked("each", (element, list) => {
      const pattern = element.firstElementChild;
      element.replaceChildren(
        ...(Array.isArray(list) && pattern ? list : []).map((each) => {
          const copy = document.createDocumentFragment();
          copy.append(pattern.cloneNode(true));
          if (each.item_id) copy.firstElementChild.setAttribute(ITEM, each.item_id);
          bind(copy, each);
          return copy;
        }),
      );
    });
    marked("text", (element, value) => {
      if (text(value)) element.textContent = value;
      else element.remove();
    });
    marked("href", (element, value) => {
      if (address(value)) element.href = address(value);
    });
    marked("src", (element, value) => {
      if (address(value)) element.src = address(value);
      else element.remove();
    });
  };

  const renderers = {};
  let describe;

  // The page's own functions may be in scripts that run after it was read.
  const complete = new Promise((resolve) => {
    if (document.readyState == "complete") resolve();
    else
      for (const type of ["DOMContentLoaded", "load"]) addEventListener(type, resolve);
  });

  // Nodes for an answer; nothing where the default shall stay.
  const render = async ({ element }, { content, reason }) => {
    const name = element.getAttribute("data-nearline-renderer");
    const template = document.getElementById(
      element.getAttribute("data-nearline-template"),
    );
    let { items } = content;
    if (items[0] || name) await complete;
    if (items[0] && describe) {
      const known = await describe(items.map(({ item_id }) => item_id));
      // What the page does not know, it does not sell.
      items = items
        .filter(({ item_id }) => known[item_id])
        .map((each) => ({ ...each, ...known[each.item_id] }));
    } else items = items.map((each) => ({ title: each.item_id, ...each }));
    const { kind, block } = content;
    const values = { ...content.content, kind, block, reason, items };
    if (name) return renderers[name]?.(values, element);
    if (kind == "items" && !items[0]) return;
    if (!template) return built(values);
    const copy = template.content.cloneNode(true);
    bind(copy, values);
    return copy;
  };

  // --- Filling ------------------------------------------------------------------------------

  const put = (record, nodes) => {
    const { element } = record;
    const height = element.offsetHeight;
    record.original ??= [...element.childNodes];
    element.style.minHeight = "";
    element.replaceChildren(...nodes);
    // What is shorter than the default must not pull up what comes below.
    if (element.offsetHeight < height) {
      element.style.minHeight = `${height}px`;
      const beyond = element.offsetHeight - height; // padding, by the box model
      if (beyond > 0) element.style.minHeight = `${height - beyond}px`;
    }
  };

  const fill = async (record, slot, said, decision, body) => {
    const answer = body.slots[slot];
    const isShown = answer.content.kind != "none";
    const nodes = isShown ? await render(record, answer) : [];
    const state = await tracker();
    if (!nodes || !isFree(record) || hasFocus(record) || !covers(state, said)) return;
    if (record.run != said.run) return;
    if (isShown) put(record, nodes[Symbol.iterator] ? nodes : [nodes]);
    // Another decision is looked at for a second of its own.
    Object.assign(record, { decision, said, dwell: clearTimeout(record.dwell) });
    settle(record, isShown ? "filled" : "default");
    record.element.setAttribute(ANSWER, answer.answer);
    const { freshness, versions, latency_ms } = body;
    record.element.dispatchEvent(
      new CustomEvent("nearline:slot", {
        bubbles: true,
        detail: { slot, answer, freshness, versions, latency_ms },
      }),
    );
  };

  const restore = (record) => {
    if (record.original) record.element.replaceChildren(...record.original);
    record.element.style.minHeight = "";
    record.element.removeAttribute(ANSWER);
    Object.assign(record, { original: null, decision: null, said: null });
    settle(record, "default");
  };

  // --- Asking: all slots that are new in one request -------------------------------------------

  let fresh = [];
  let timer;
  let runs = 0;

  const schedule = () => {
    // What is deferred is not waited for, as it would be with DOMContentLoaded.
    if (document.readyState != "loading") timer ||= setTimeout(ask);
  };

  const ask = async () => {
    timer = 0;
    const asked = fresh;
    fresh = [];
    const run = ++runs;
    const leave = (rest) => {
      for (const record of rest)
        if (!record.element.hasAttribute(STATE)) settle(record, "default");
    };
    try {
      const state = await tracker();
      const isKnown = !!state.visitor_id;
      for (const record of asked)
        Object.assign(record, { run, askedFor: state.visitor_id });
      if (!asked[0] || !(isKnown || withoutConsent == "general")) return leave(asked);
      const said = isKnown ? { ...state, run } : { run };
      const names = [...new Set(asked.map(({ name }) => name))];
      const parts = [];
      while (names[0]) parts.push(names.splice(0, SLOTS_CAP));
      await Promise.all(
        parts.map(async (slots) => {
          const mine = asked.filter(({ name }) => slots.includes(name));
          try {
            await request(slots, said, mine);
          } catch {
            // An API that is away is no error of the page.
          }
          leave(mine);
        }),
      );
    } catch (error) {
      told(error);
      leave(asked);
    }
  };

  const request = async (slots, said, mine) => {
    const consent = { notice_version: said.notice_version };
    for (const purpose of PURPOSES) consent[purpose] = !!said[purpose];
    // Text needs no preflight, which would cost a round trip; for the same reason the key
    // goes in the address. It is a browser's key, and no secret.
    const response = await fetch(`${endpoint}?key=${encodeURIComponent(key)}`, {
      method: "POST",
      body: JSON.stringify({
        visitor: said.visitor_id ?? "-",
        slots,
        context: { ...page, page_path: location.pathname.slice(0, 1024), consent },
      }),
      credentials: "omit",
      signal: AbortSignal.timeout?.(PATIENCE),
    });
    if (!response.ok) return;
    const body = await response.json();
    const decisions = {};
    for (const slot of slots) {
      const { decision_id: id, arms, content } = body.slots[slot];
      const { block } = content;
      decisions[slot] = { id, slot, arms, block, outcomes: new Set() };
    }
    await Promise.all(
      mine.map((record) =>
        fill(record, record.name, said, decisions[record.name], body).catch(told),
      ),
    );
  };

  const add = (element, mayHide) => {
    if (records.has(element)) return;
    const record = { element, name: element.getAttribute(SLOT), freeUntil: 0 };
    records.set(element, record);
    element.setAttribute("aria-busy", "true");
    if (mayHide && !hasFocus(record)) hide(record);
    record.timer = setTimeout(settle, budget, record, "default");
    viewer.observe(element);
    fresh.push(record);
  };

  const find = (root, mayHide) => {
    if (root.matches?.(`[${SLOT}]`)) add(root, mayHide);
    for (const element of root.querySelectorAll?.(`[${SLOT}]`) ?? [])
      add(element, mayHide);
    if (fresh[0]) schedule();
  };

  // --- Consent given later, or withdrawn --------------------------------------------------------

  const heed = async () => {
    const state = await tracker();
    for (const record of every()) {
      if (record.said && !covers(state, record.said)) restore(record);
      const isNews = state.visitor_id && record.askedFor === null;
      // What cannot be filled any more is not asked for: it would be on record.
      if (isNews && isFree(record)) fresh.push(record);
    }
    if (fresh[0]) schedule();
  };

  // --- What the page may call --------------------------------------------------------------------

  window.nearlineSlots = {
    refresh: (root = document) => {
      find(root);
      const freeUntil = performance.now() + +budget;
      for (const record of every())
        if (root.contains(record.element) && !fresh.includes(record)) {
          record.name = record.element.getAttribute(SLOT);
          fresh.push(Object.assign(record, { freeUntil }));
        }
      if (fresh[0]) schedule();
    },
    context: (values) => {
      page = { ...page, ...values };
    },
    renderer: (name, make) => {
      renderers[name] = make;
    },
    describe: (make) => {
      describe = make;
    },
    outcome,
  };

  // Before anything is painted: what the parser adds is found before it is drawn. Where
  // the script came late, what stands there may have been read already.
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes)
      for (const node of addedNodes) find(node, true);
  }).observe(document, { childList: true, subtree: true });
  find(document, !performance.getEntriesByType("paint")[0]);

  document.addEventListener("readystatechange", () => fresh[0] && schedule());
  document.addEventListener("click", click, true);
  document.addEventListener("auxclick", click, true);
  document.addEventListener("nearline:consent", heed);
  document.addEventListener("visibilitychange", () => {
    every().forEach(look);
    // The answer may have been another in another tab.
    if (isVisible()) heed();
  });
})();
