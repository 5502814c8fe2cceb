/*
 * Nearline's browser tracker: one classic script, no dependency, no build step. Comments
 * are stripped when it is served; names are not shortened, so short words are used here
 * wherever they are clear. `tracker.d.ts` describes it to those who call it.
 *
 *   <script async src="https://collector.example/v1/tracker.js" data-write-key="..."
 *     data-consent="required" data-notice="2026-01"></script>
 *
 * What it may do is decided by one question, `permitted()`, asked anew at every event and
 * every sending. Consent lives in its cookie alone and is read from there each time, so
 * that a withdrawal in one tab silences the others too.
 *
 * It reads no form field and no text on the page. Of addresses it sends the path and the
 * `utm_*` parameters (and those that `data-url-params` lists), never the fragment.
 */
(() => {
  "use strict";

  const stub = window.nearline;
  const script = document.currentScript;
  if (stub?.loaded || !script) return;

  // --- Settings: the script tag's data attributes -----------------------------------

  const {
    writeKey = "",
    endpoint = new URL("events", script.src),
    // Anything but "opt-out" means that consent is needed first: a misspelt value must
    // not start the collection.
    consent: regime,
    notice = "",
    // "sale": Global Privacy Control then rules out marketing only. By default it rules
    // out personalization as well, since a page may personalize with shared data.
    gpc,
    searchParam = "q,s,search",
    urlParams = "",
    pageType,
    cookieDomain,
    heartbeat = 10,
    idle = 15,
  } = script.dataset;
  const optOut = regime == "opt-out";

  const LIFETIME = 395 * 86400; // 13 months in seconds; browsers allow 400 days
  const QUEUE_CAP = 500;
  const BATCH_CAP = 50;
  // Two of these in flight stay below the 64 KB that browsers allow to `keepalive`.
  const BATCH_BYTES = 3e4;
  const SECOND = 1e3;
  const LONGEST_WAIT = 3e5;
  const SCROLL_STEPS = [0.25, 0.5, 0.75, 0.9];
  const PREFIX = "_nl_e.";
  const PURPOSES = ["analytics", "personalization", "marketing"];
  // Parameters that are fields of the event contract; all others become properties.
  const FIELDS =
    /^(currency|value|transaction_id|search_term|content_type|content_id|element_id|experiment_key|variant_key)$/;
  const ITEM_FIELDS = /^(item_(id|category|brand)|price|quantity)$/;
  // What the tracker sees by itself would be counted twice if read from dataLayer.
  const OWN_EVENTS = /^(page_view|user_engagement|scroll|click|identify|consent)$/;

  const clock = () => performance.now();
  const time = () => new Date().toISOString();
  const epoch = () => Math.floor(Date.now() / SECOND);

  // The page must never see an error of ours, whatever the browser forbids.
  const safe = (action) =>
    function (...values) {
      try {
        return action.apply(this, values);
      } catch {}
    };
  const listen = (target, types, action) => {
    for (const type of types.split(" "))
      target.addEventListener(type, safe(action), true);
  };

  // 128 random bits. `crypto.randomUUID` has fewer and is missing on plain http.
  const random = () =>
    Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
      (byte + 256).toString(16).slice(1),
    ).join("");

  const text = (value) => (value == null ? undefined : `${value}`.slice(0, 256));

  // --- Cookies, with memory in their place where the browser keeps none --------------

  const memory = {};
  let blocked;

  const SHAPES = {
    _nl_vid: /(?:^|; )_nl_vid=nl1\.([\w-]{22,32})\.(\d{10})(?=;|$)/,
    _nl_consent: /(?:^|; )_nl_consent=nl1\.([01]{3})\.(\d{10})\.([\w.-]{0,32})(?=;|$)/,
  };

  const load = (name) => {
    const jar = blocked ? memory[name] : safe(() => document.cookie)();
    const found = SHAPES[name].exec(jar);
    const age = found && epoch() - found[2];
    // A day of leeway for a clock that was set back.
    return found && age > -86400 && age < LIFETIME ? found : null;
  };

  const save = (name, value, created = epoch()) => {
    const pair = `${name}=nl1.${value}`;
    memory[name] = pair;
    safe(() => {
      document.cookie =
        pair +
        `; path=/; samesite=lax; max-age=${value ? created + LIFETIME - epoch() : 0}` +
        (cookieDomain ? `; domain=${cookieDomain}` : "") +
        (location.protocol == "https:" ? "; secure" : "");
    })();
    if (value) blocked = !safe(() => document.cookie.includes(pair))();
  };

  const visitor = () => {
    const found = load("_nl_vid");
    if (found) return found[1];
    const id = random();
    save("_nl_vid", `${id}.${epoch()}`);
    return id;
  };

  // --- Consent -----------------------------------------------------------------------

  const tidy = (version) => `${version}`.replace(/[^\w.-]/g, "_").slice(0, 32);

  const consent = () => {
    const found = load("_nl_consent");
    // A changed notice asks anew. Where people opt out it does not: a new text must not
    // undo their choice.
    const decided = !!found && (optOut || !notice || found[3] == tidy(notice));
    const state = {
      notice_version: (decided && found[3]) || tidy(notice) || undefined,
      decided,
    };
    // How many of the purposes, in their order, Global Privacy Control leaves free.
    const free = !navigator.globalPrivacyControl ? 3 : gpc == "sale" ? 2 : 1;
    PURPOSES.forEach((purpose, place) => {
      state[purpose] = place < free && (decided ? found[1][place] > 0 : optOut);
    });
    return state;
  };

  // Whether events may be recorded at all: the tables leave out what has no consent to
  // analytics, so nothing else is worth sending. Also acts on a change of the answer,
  // which may have been given in another tab.
  let granted = false;
  const permitted = () => {
    const { analytics } = consent();
    if (analytics != granted) {
      granted = analytics;
      if (analytics) {
        // The cookie is written again for the time that it has left: Safari forgets
        // after seven days what a script has not renewed.
        const found = load("_nl_vid");
        if (found) save("_nl_vid", `${found[1]}.${found[2]}`, +found[2]);
        // What happened before the opt-in is not told afterwards. The page that is open
        // becomes a page view that starts now.
        restart();
        adopt();
      } else purge();
    }
    return analytics;
  };

  const decide = (choice) => {
    const before = consent();
    const wasPermitted = permitted();
    const flags = PURPOSES.map((purpose, place) =>
      place && choice.do_not_sell ? 0 : +!!(choice[purpose] ?? before[purpose]),
    ).join("");
    save("_nl_consent", `${flags}.${epoch()}.${tidy(choice.notice_version || notice)}`);
    // Consent managers repeat the choice on every page; that is no news.
    const isNews = JSON.stringify(before) != JSON.stringify(consent());
    if (consent().analytics) {
      if (isNews) record("consent");
    } else {
      // The refusal itself stays remembered, lest people be asked again and again.
      const last = wasPermitted && compose("consent");
      save("_nl_vid", "");
      user = undefined;
      permitted();
      if (last) {
        push(last, true);
        flush();
      }
    }
    // For who shows something by this answer.
    if (isNews) document.dispatchEvent(new Event("nearline:consent"));
  };

  // --- The queue: one entry of localStorage per event ---------------------------------
  // Writing costs the same however long the queue is, and tabs do not overwrite each
  // other. An event leaves it when the collector has answered; whatever a closed page
  // left behind is sent by the next one under the same event_id, at worst twice.

  let queue = [];
  let dropped = 0;
  const flying = new Set();

  const discard = safe(({ id }) => localStorage.removeItem(PREFIX + id));

  const eachStored = safe((use) => {
    for (const key of Object.keys(localStorage))
      if (key.startsWith(PREFIX))
        use({ id: key.slice(PREFIX.length), text: localStorage[key], dropped: 0 });
  });

  // `isLast`: the event that tells of a withdrawal. It is never stored and survives the
  // emptying of the queue.
  const push = (event, isLast) => {
    const id = event.event_id;
    if (dropped) event.properties = { ...event.properties, dropped_events: dropped };
    // Made text at once: the page may go on changing the objects that it handed over.
    const entry = { id, text: JSON.stringify(event), dropped, isLast };
    dropped = 0;
    queue.push(entry);
    if (!isLast) safe(() => localStorage.setItem(PREFIX + id, entry.text))();
    while (queue.length > QUEUE_CAP) {
      const oldest = queue.shift();
      dropped += 1 + oldest.dropped;
      discard(oldest);
    }
    if (queue.length < BATCH_CAP || failures) schedule(SECOND);
    else flush();
  };

  const adopt = () => {
    eachStored((entry) => {
      // Damaged text would have the whole batch refused.
      if (safe(() => JSON.parse(entry.text).event_id)() == entry.id) queue.push(entry);
      else discard(entry);
    });
    // An event's text begins with its time.
    queue.sort((one, other) => (one.text < other.text ? -1 : 1));
    schedule(SECOND);
  };

  const purge = () => {
    queue = queue.filter((entry) => entry.isLast);
    dropped = 0;
    eachStored(discard);
  };

  // --- Sending: one batch in flight at a time ----------------------------------------

  let timer;
  let failures = 0;
  let heldUntil = 0;

  const schedule = (wait, anew) => {
    if (anew) timer = clearTimeout(timer);
    timer ||= setTimeout(tick, wait);
  };

  const tick = safe(() => {
    timer = 0;
    flush();
  });

  const settle = (batch, response) => {
    for (const entry of batch) flying.delete(entry);
    // Another 4xx would be the same next time: the batch is given up. What the collector
    // refuses within a batch it has kept as a dead letter.
    if (!response || response.status == 429 || response.status > 499) {
      const most = Math.min(LONGEST_WAIT, SECOND * 2 ** failures++);
      const held = response?.headers.get("retry-after") * SECOND || 0;
      heldUntil = clock() + held;
      schedule(held + most * (0.5 + Math.random() / 2), true);
    } else {
      failures = 0;
      batch.forEach(discard);
      queue = queue.filter((entry) => !batch.includes(entry));
      if (queue[0]) schedule(0, true);
    }
  };

  const flush = (leaving) => {
    permitted();
    // A page that is going away sends what is not yet on its way, even while it waits
    // after an error, but not against the collector's Retry-After.
    if ((flying.size && !leaving) || clock() < heldUntil) return;
    const batch = queue.filter((entry) => !flying.has(entry)).slice(0, BATCH_CAP);
    if (!batch[0]) return;
    timer = clearTimeout(timer);
    let body, size;
    do {
      const events = batch.map((entry) => entry.text);
      const key = JSON.stringify(writeKey);
      body = `{"write_key":${key},"sent_at":"${time()}","events":[${events}]}`;
      size = new Blob([body]).size;
    } while (size > BATCH_BYTES && batch.splice(Math.ceil(batch.length / 2))[0]);
    for (const entry of batch) flying.add(entry);
    const done = safe((response) => settle(batch, response));
    const read = (response) => response.text().then(() => response);
    // A string goes as text/plain, which needs no preflight. `keepalive` outlives the page
    // as a beacon does, but has an answer: where the page lives on after all, nothing is
    // sent twice. An answer that is not read would go on counting against the 64 KB.
    fetch(endpoint, {
      method: "POST",
      body,
      credentials: "omit",
      keepalive: size < 2 * BATCH_BYTES,
      signal: AbortSignal.timeout?.(3e4),
    })
      .then(read)
      .then(done, () => done());
  };

  // --- Events ------------------------------------------------------------------------

  let view = {};
  let user;

  const address = (url) => {
    if (!url) return;
    const { origin, pathname, searchParams } = new URL(url, document.baseURI);
    if (!/^http/.test(origin)) return; // mailto: and tel: name people
    const query = `${new URLSearchParams(
      [...searchParams].filter(
        ([name]) => /^utm_/.test(name) || urlParams.split(",").includes(name),
      ),
    )}`;
    return origin + pathname + (query && "?" + query);
  };

  const agent = navigator.userAgent;
  const mobile = navigator.userAgentData?.mobile || /Mobi|iPhone/.test(agent);
  const device = /\b(smart|hbb|google|apple)?-?tv\b|crkey|roku/i.test(agent)
    ? "tv"
    : /iPad|Tablet/.test(agent) ||
        (/Android/.test(agent) && !mobile) ||
        // An iPad calls itself a Macintosh, which has no touch screen.
        (/Macintosh/.test(agent) && navigator.maxTouchPoints)
      ? "tablet"
      : mobile
        ? "mobile"
        : "desktop";

  const compose = (name, fields) => {
    const answer = consent();
    const event = {
      occurred_at: time(),
      event_id: random(),
      event_name: name,
      schema_version: "1.1",
      visitor_id: visitor(),
      user_id: user,
      page_view_id: view.id,
      page_url: view.url,
      page_title: view.title,
      page_type: view.type,
      referrer: view.referrer,
      device_class: device,
      consent_notice_version: answer.notice_version,
      ...fields,
    };
    for (const purpose of PURPOSES) event[`consent_${purpose}`] = answer[purpose];
    return event;
  };

  const record = (name, fields) => {
    if (!permitted()) return;
    announce();
    push(compose(name, fields));
  };

  const pickItem = (from) => {
    const item = {};
    for (const name in from)
      if (ITEM_FIELDS.test(name) && from[name] != null)
        item[name] = /^[pq]/.test(name) ? +from[name] : `${from[name]}`;
    return item;
  };

  // GA4's parameters as fields of the event; an item may be given without its list.
  // `strict`: nothing but known fields.
  const shape = ({ items, ...params } = {}, strict) => {
    const fields = {};
    if (params.item_id) items ??= [params];
    for (const name in params)
      if (FIELDS.test(name))
        fields[name] = name == "value" ? +params[name] : text(params[name]);
      else if (!strict && !(items && ITEM_FIELDS.test(name)))
        (fields.properties ??= {})[name] = params[name];
    return { ...fields, items: items?.map(pickItem) };
  };

  // --- Page views --------------------------------------------------------------------

  const page = (url = location) => `${url}`.split("#")[0];

  const restart = () => {
    account();
    Object.assign(view, { id: random(), began: time(), announced: false });
    engaged = deepest = told = 0;
    active = clock();
    // Not at once: a single-page app sets the title after the address.
    setTimeout(safe(announce));
  };

  const open = (referrer, type = pageType) => {
    report(true);
    view = { page: page(), url: address(page()), referrer: address(referrer), type };
    restart();
  };

  const announce = () => {
    if (view.announced || !permitted()) return;
    view.announced = true;
    view.title = text(document.title);
    record("page_view", { occurred_at: view.began });
    const query = new URL(view.page).searchParams;
    for (const name of searchParam.split(","))
      if (query.get(name))
        return record("search", { search_term: text(query.get(name)) });
  };

  const follow = safe(() => page() != view.page && open(view.page));

  const watchAddress = () => {
    for (const name of ["pushState", "replaceState"]) {
      const original = history[name];
      history[name] = function (...values) {
        original.apply(this, values);
        follow();
      };
    }
    listen(window, "popstate", follow);
  };

  // --- Engaged time: visible, focused, and active within the last `idle` seconds --------
  // Counted on the monotonic clock whenever something changes, so that it is exact and
  // not a number of ticks; a heartbeat sends what has been added since the last one.

  let engaged = 0;
  let active = 0;
  let counted = 0;
  let attentive = false;

  const account = () => {
    const now = clock();
    if (attentive)
      engaged += Math.max(0, Math.min(now, active + idle * SECOND) - counted);
    counted = now;
    attentive = document.visibilityState == "visible" && document.hasFocus();
  };

  const touch = () => {
    account();
    active = counted;
  };

  const report = (final) => {
    account();
    if (scrolling) measure();
    if (!permitted()) engaged = 0;
    // Less than a second waits for the next heartbeat, unless there is none.
    const whole = Math.floor(engaged);
    if (whole >= (final ? 1 : SECOND)) {
      engaged -= whole;
      record("user_engagement", { engaged_seconds: whole / SECOND });
    }
    if (final) tellScroll();
  };

  const leave = () => {
    report(true);
    flush(true);
  };

  // --- Deepest scroll: told at steps, and the rest when the page is left ---------------

  let deepest = 0;
  let told = 0;
  let scrolling;

  const tellScroll = () => {
    if (deepest <= told) return;
    told = deepest;
    record("scroll", { scroll_rate: told });
  };

  const measure = () => {
    scrolling = clearTimeout(scrolling);
    const rate = (scrollY + innerHeight) / document.scrollingElement.scrollHeight;
    deepest = Math.max(deepest, Math.min(1, Math.round(rate * SECOND) / SECOND));
    if (SCROLL_STEPS.some((step) => told < step && deepest >= step)) tellScroll();
  };

  // --- Clicks: on links, on marked elements, on content ---------------------------------

  const elementId = ({ id }) => id.replace(/[^\w.:-]/g, "_").slice(0, 64) || undefined;

  // data-nearline-item-id="7" -> item_id: "7"
  const marks = ({ dataset }) => {
    const params = {};
    for (const key in dataset)
      if (key.startsWith("nearline"))
        params[key.slice(8).replace(/\B[A-Z]/g, "_$&").toLowerCase()] = dataset[key];
    return params;
  };

  const click = (event) => {
    const target = event.composedPath()[0];
    // The right button opens a menu and follows nothing.
    if (event.button > 1) return;
    const marked = target.closest("[data-nearline-event]");
    if (marked) {
      const { event: name, content, ...params } = marks(marked);
      record(name, { ...shape(params), element_id: elementId(marked) });
    }
    const part = target.closest("[data-nearline-content]");
    if (part) {
      const { content, content_id } = marks(part);
      record("content_interaction", {
        content_type: content,
        content_id,
        element_id: elementId(part),
      });
    }
    const link = target.closest("a[href],area[href]");
    const url = link && new URL(link.getAttribute("href"), document.baseURI);
    // A jump within the page is scroll, not a click on a link.
    if (url && page(url) != page() && address(url))
      record("click", {
        link_url: address(url),
        element_id: elementId(link),
        properties: { outbound: url.host != location.host },
      });
  };

  // --- GA4's dataLayer, in both of its forms --------------------------------------------
  // Pushed for somebody else's eyes, so only known fields are taken.

  const readLayer = safe((entry) => {
    let { event: name, ecommerce: params } = entry;
    if (name == "search") params = entry;
    if (entry[0] == "event") [, name, params = {}] = entry;
    if (params && /^[a-z]\w*$/.test(name) && !OWN_EVENTS.test(name))
      record(name, shape(params, true));
  });

  const watchLayer = () => {
    const layer = (window.dataLayer ||= []);
    const original = layer.push;
    layer.push = function (...entries) {
      const result = original.apply(this, entries);
      entries.forEach(readLayer);
      return result;
    };
    [...layer].forEach(readLayer);
  };

  // --- What the page may call ------------------------------------------------------------

  const commands = {
    event: (name, params) => record(name, shape(params)),
    consent: decide,
    optout: () => decide({ analytics: false, do_not_sell: true }),
    identify: (id) => {
      // Kept for this page only: an account's name has no business in a cookie.
      user = text(id) || undefined;
      if (user) record("identify");
    },
    page: ({ page_type } = {}) => {
      if (view.announced) open(view.page, page_type);
      else view.type = page_type;
    },
    get: (callback) => {
      const state = {
        ...consent(),
        gpc: !!navigator.globalPrivacyControl,
        visitor_id: permitted() ? visitor() : null,
        page_view_id: view.id,
      };
      // Outside of `safe`: the page's own errors are for the page to see.
      queueMicrotask(() => callback(state));
    },
  };

  const start = safe(() => {
    open(document.referrer);
    watchAddress();
    listen(window, "pointerdown pointermove keydown focus", touch);
    listen(window, "blur", account);
    listen(window, "scroll", (event) => {
      touch();
      if (event.target == document) scrolling ||= setTimeout(safe(measure), 200);
    });
    listen(window, "click auxclick", click);
    listen(window, "pagehide", leave);
    listen(window, "pageshow", (event) => event.persisted && open(document.referrer));
    listen(window, "online", () => {
      failures = 0;
      flush();
    });
    listen(document, "visibilitychange", () =>
      document.visibilityState == "hidden" ? leave() : touch(),
    );
    setInterval(safe(() => report()), heartbeat * SECOND);

    window.nearline = safe((command, ...values) => commands[command](...values));
    window.nearline.loaded = true;
    for (const call of stub?.q ?? []) window.nearline(...call);
    watchLayer();
  });

  // A page that is drawn in advance may never be looked at.
  if (document.prerendering) listen(document, "prerenderingchange", start);
  else start();
})();
