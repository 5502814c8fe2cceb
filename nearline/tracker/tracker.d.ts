/**
 * Nearline's browser tracker, as a page calls it.
 *
 * Put this before the script tag, so that calls made before it has loaded wait for it:
 *
 *   window.nearline = window.nearline || function () {
 *     (nearline.q = nearline.q || []).push(arguments);
 *   };
 *
 * Attributes of the script tag (all but the first may be left out):
 *
 *   data-write-key       which source this page is
 *   data-consent         "required" (default: nothing before opt-in) | "opt-out"
 *   data-notice          version of the consent notice; another one asks anew
 *   data-gpc             "sale": Global Privacy Control rules out marketing only;
 *                        default: marketing and personalization
 *   data-endpoint        where events go; default: `events` beside the script
 *   data-search-param    query parameters of the site's search; default "q,s,search"
 *   data-url-params      query parameters to send besides utm_*; default none
 *   data-page-type       kind of this page, such as "product"
 *   data-cookie-domain   such as "shop.example", to share the visitor over subdomains
 *   data-heartbeat       seconds between reports of engaged time; default 10
 *   data-idle            seconds after which a visitor without activity is not engaged;
 *                        default 15
 *
 * Attributes of elements; a click on one, or on anything inside it, is an event:
 *
 *   data-nearline-event="add_to_cart"       with data-nearline-item-id, -price, -value, …
 *   data-nearline-content="review"          content_interaction, with
 *   data-nearline-content-id="review_7"     the id of the content
 *
 * Dispatched on `document`: `nearline:consent`, when the visitor's answer has changed; ask
 * `get` what now holds.
 *
 * Read by itself: page views (also of single-page apps, by path and query), engaged time,
 * deepest scroll, clicks on links, the site's search, and GA4's dataLayer, whose events
 * are taken with the known fields only.
 */

/** An item in GA4's shape. Further GA4 members are ignored. */
export interface NearlineItem {
  item_id: string;
  item_category?: string;
  item_brand?: string;
  /** In units of the currency, as in GA4: 19.99. */
  price?: number;
  quantity?: number;
}

/** GA4's parameters. Those that are not listed become properties of the event. */
export interface NearlineEventParams extends Partial<NearlineItem> {
  items?: NearlineItem[];
  /** ISO 4217, such as "EUR". Needed wherever there is money. */
  currency?: string;
  value?: number;
  transaction_id?: string;
  search_term?: string;
  content_type?: string;
  content_id?: string;
  element_id?: string;
  experiment_key?: string;
  variant_key?: string;
  [property: string]: unknown;
}

export type NearlineEventName =
  | "view_item_list"
  | "select_item"
  | "view_item"
  | "add_to_cart"
  | "remove_from_cart"
  | "view_cart"
  | "begin_checkout"
  | "purchase"
  | "search"
  | "content_interaction"
  | "exposure"
  | "decision"
  | "response"
  /** A name of your own: lower case, digits, underscores. */
  | (string & {});

/** A purpose that is left out stays as it was; at first that is "no". */
export interface NearlineConsent {
  /** Without it nothing is stored or sent at all. */
  analytics?: boolean;
  personalization?: boolean;
  marketing?: boolean;
  /** Do Not Sell or Share: switches personalization and marketing off. */
  do_not_sell?: boolean;
  /** Default: the script tag's `data-notice`. */
  notice_version?: string;
}

export interface NearlineState {
  /** Null without consent. */
  visitor_id: string | null;
  page_view_id: string;
  /** What holds now, Global Privacy Control included. */
  analytics: boolean;
  personalization: boolean;
  marketing: boolean;
  notice_version?: string;
  /** Whether this notice has been answered; if not, show it. */
  decided: boolean;
  /** Whether the browser sends Global Privacy Control. */
  gpc: boolean;
}

export interface Nearline {
  /** Something happened, in GA4's names. Dropped where there is no consent. */
  (command: "event", name: NearlineEventName, params?: NearlineEventParams): void;
  /** The visitor's answer; kept in a cookie. Repeating it is harmless. */
  (command: "consent", consent: NearlineConsent): void;
  /** Withdraws everything and removes the visitor's id and the queue. */
  (command: "optout"): void;
  /** The account; hashed by the collector, never kept here. Null: signed out. */
  (command: "identify", userId: string | null): void;
  /** A page view that the address does not show, or the type of this page. */
  (command: "page", params?: { page_type?: string }): void;
  /** Calls back with what the tracker knows and may do. */
  (command: "get", callback: (state: NearlineState) => void): void;

  /** Calls that wait for the script. */
  q?: IArguments[];
  readonly loaded?: true;
}

declare global {
  interface Window {
    nearline: Nearline;
    dataLayer?: unknown[];
  }
  const nearline: Nearline;
}
