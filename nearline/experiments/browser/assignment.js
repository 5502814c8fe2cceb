/*
 * Who sees which variant, in the page: the same buckets as `nearline.experiments.assignment`
 * to the last bit, held by the same vectors. One classic script, no dependency, nothing
 * stored or sent. `assignment.d.ts` describes it to those who call it.
 */
(() => {
  "use strict";

  const COUNT = 10000;
  const rotated = (value, bits) => (value << bits) | (value >>> (32 - bits));

  // MurmurHash3 x86 32-bit (Appleby, public domain), seed 0, of UTF-8.
  const hash = (text) => {
    const bytes = new TextEncoder().encode(text);
    const whole = bytes.length & ~3;
    const mixed = (block) =>
      Math.imul(rotated(Math.imul(block, 0xcc9e2d51), 15), 0x1b873593);
    let state = 0;
    for (let at = 0; at < whole; at += 4) {
      state ^= mixed(
        bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)
      );
      state = (Math.imul(rotated(state, 13), 5) + 0xe6546b64) | 0;
    }
    let rest = 0;
    for (let at = bytes.length - 1; at >= whole; at--) rest = (rest << 8) | bytes[at];
    if (bytes.length > whole) state ^= mixed(rest);
    state ^= bytes.length;
    state = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
    return (state ^ (state >>> 16)) >>> 0;
  };

  // Exact: the product stays below 2^53, and a division by 2^32 loses nothing.
  const bucket = (salt, key) => {
    if (!/^[\w.-]+$/.test(salt)) throw new TypeError("not a salt");
    return Math.floor((hash(salt + ":" + key) * COUNT) / 4294967296);
  };

  const holds = (salt, key, first, count) => {
    const at = bucket(salt, key) - first;
    return at >= 0 && at < count;
  };

  const variant = ({ salt, spans, slot, hold_outs: held = [] }, key) => {
    if (held.some((one) => holds(one.salt, key, 0, one.count))) return null;
    if (slot && !holds(slot.layer, key, slot.first, slot.count)) return null;
    const at = bucket(salt, key);
    const found = spans.find((one) => at >= one.first && at < one.first + one.count);
    return found ? found.variant : null;
  };

  globalThis.nearlineAssignment = Object.freeze({ bucket, variant });
})();
