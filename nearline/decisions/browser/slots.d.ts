/**
 * Nearline's slots, as a page uses them. The tracker has to be on the page, too: it says
 * who the visitor is and what was agreed to.
 *
 * In the head, so that it runs before anything is drawn:
 *
 *   <script src="https://shop.example/slots.js" data-key="..."
 *     data-api="https://decide.shop.example"></script>
 *
 * Attributes of the script tag (all but the first may be left out):
 *
 *   data-key              key of this application, made for browsers
 *   data-api              where decisions are made; default: where the script came from
 *   data-budget           milliseconds for which a default may be hidden; default 300
 *   data-without-consent  "general": asks all the same, by no id, for what everybody
 *                         sees; default: asks nothing, and defaults stay
 *   data-page-type        kind of this page, such as "product"
 *   data-item             item of this page
 *   data-channel          how the visitor came
 *   data-campaign         campaign that the visitor came from
 *
 * Attributes of a slot's element:
 *
 *   data-nearline-slot="home_banner"     its name in the policies; what the element holds
 *                                        is the default
 *   data-nearline-template="card_list"   id of a <template> to fill
 *   data-nearline-renderer="cards"       name of a function given to `renderer`
 *
 * Attributes inside a <template>. Names are those of `NearlineSlotValues`; an element
 * whose text or picture is not there goes:
 *
 *   data-nearline-text="title"     its text
 *   data-nearline-href="link"      its address; http, https or relative alone
 *   data-nearline-src="image"      its picture, likewise
 *   data-nearline-each="items"     its first child stands for each item
 *   data-nearline-click            a click counts, though it is no link or button
 *
 * Read by a page's style sheet: `data-nearline-state`, "filled" or "default", on the
 * element once it is settled, and `data-nearline-answer`, such as "personal" or "popular".
 * Without a template the classes are `nearline-message`,
 * `nearline-banner`, `nearline-items`, `nearline-item`, and within them `nearline-link`,
 * `-title`, `-text`, `-action`, `-image`, `-price`, `-reason`.
 *
 * `nearline:slot` is dispatched on an element when it is filled, and bubbles; its `detail`
 * is a `NearlineSlotEvent`.
 */

/** What a page tells of an item. Further members can be used in a <template>. */
export interface NearlineSlotItem {
  title: string;
  link?: string;
  /** Address of a picture. */
  image?: string;
  /** What the picture shows, where the title does not say it. */
  alt?: string;
  price?: string;
  [name: string]: unknown;
}

/** What is rendered: a block's content as its policy file has it, or items. */
export interface NearlineSlotValues {
  kind: "message" | "banner" | "items" | "none";
  block: string | null;
  /** Why, in words that may be shown. */
  reason: string;
  items: (NearlineSlotItem & { item_id: string; reason: string })[];
  title?: string;
  text?: string;
  link?: string;
  action?: string;
  [name: string]: unknown;
}

export interface NearlineSlotEvent {
  slot: string;
  /** The slot's part of the answer of `POST /v1/decide`. */
  answer: {
    decision_id: string | null;
    reason: string;
    answer: "personal" | "general" | "popular" | "default" | "none";
    fallback: string | null;
    arms: Record<string, string>;
    hold_out: boolean;
    [name: string]: unknown;
  };
  freshness: {
    feature_age_seconds: number | null;
    recommender_as_of: string | null;
  };
  versions: Record<string, unknown>;
  latency_ms: number;
}

type Nodes = Node | Iterable<Node> | null | undefined;

export interface NearlineSlots {
  /**
   * Asks anew, for all slots in `root` (default: the page). What stands there is replaced
   * if the answer comes within the budget. New elements are found without it.
   */
  refresh(root?: Document | Element): void;
  /** What the page says of itself from now on, where it changes without being loaded. */
  context(values: {
    page_type?: string;
    item?: string;
    channel?: string;
    campaign?: string;
  }): void;
  /**
   * A function that makes a slot's content; null leaves the default. It is the page's
   * own: what it writes as markup is not made safe by anybody.
   */
  renderer(
    name: string,
    make: (values: NearlineSlotValues, element: Element) => Nodes | Promise<Nodes>,
  ): void;
  /** Names, links and pictures of items, by id; what is left out is not shown. */
  describe(
    make: (
      itemIds: string[],
    ) =>
      | Record<string, NearlineSlotItem>
      | Promise<Record<string, NearlineSlotItem>>,
  ): void;
  /**
   * What came of the decision that `element` stands in, such as "dismiss" with a reward of
   * 0. Clicks on links and buttons are told without it. Once for each kind and content.
   */
  outcome(
    element: Element,
    kind: string,
    about?: { content?: string; reward?: number },
  ): void;
}

declare global {
  interface Window {
    readonly nearlineSlots: NearlineSlots;
  }
  const nearlineSlots: NearlineSlots;
}
