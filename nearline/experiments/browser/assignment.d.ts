/** Who sees which variant, as `assignment.js` works it out in the page. */

export interface NearlineAssigner {
  /** The experiment's own: letters, digits, `.`, `_`, `-`. */
  salt: string;
  /** Buckets 0 to 9,999; a bucket in no span sees no experiment. */
  spans: { variant: string; first: number; count: number }[];
  /** The experiment's share of a layer, if it has one. */
  slot?: { layer: string; first: number; count: number } | null;
  /** Buckets below `count` under a salt of their own see no experiment. */
  hold_outs?: { salt: string; count: number }[];
}

declare global {
  var nearlineAssignment: {
    /** Bucket 0 to 9,999 of a key under a salt. */
    bucket(salt: string, key: string): number;
    /**
     * The variant of a key, or null for who sees no experiment. `assigner` is what
     * `nearline experiment buckets KEY --json` prints.
     *
     * Send `nearline('event', 'exposure', {experiment_key, variant_key})` once the
     * difference can be seen. The key is the page's own id of the visitor, which is not
     * the server's pseudonym: assign an experiment in the page or on the server, not both.
     */
    variant(assigner: NearlineAssigner, key: string): string | null;
  };
}
