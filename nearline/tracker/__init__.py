"""The browser tracker: the script that a page loads, and how the collector serves it.

What the script does and why stands in `tracker.js`; how a page calls it in
`tracker.d.ts`. What it decides about privacy, in short:

- Nothing is stored or sent before consent to analytics, unless the script tag says
  `data-consent="opt-out"`. What was done before the opt-in is not told afterwards: the
  page then open becomes a page view that begins at the moment of consent.
- Consent is kept in the cookie `_nl_consent` with the notice's version; another version
  in `data-notice` counts as no consent. A refusal is kept as well. Neither names anybody.
- The visitor's id is 128 random bits in the cookie `_nl_vid`, for 13 months from its
  creation. It is never put into an address.
- Withdrawal removes that cookie and all that is queued, in every tab; a last `consent`
  event tells the collector. It is held in memory only: if the page is closed before it
  could be delivered, the collector does not learn of the withdrawal.
- Global Privacy Control and `do_not_sell` switch off marketing and personalization;
  `data-gpc="sale"` limits Global Privacy Control to marketing, for pages that personalize
  with their own data alone.
- While the collector cannot be reached, events wait in localStorage, and with them the
  account id that the page gave to `identify`; it goes when they are delivered.

No HTTP in here: the collector owns the route, its headers and its caching.
"""

from nearline.browser_script import BrowserScript

TRACKER = BrowserScript("nearline.tracker", "tracker.js")
"""As it is served."""
