"""How many events a write key may send: a bucket of tokens, refilled as time goes by."""


class TokenBucket:
    """Up to `burst` at once, `per_second` in the long run.

    Times are seconds of any clock that does not go backwards.
    """

    def __init__(self, per_second: float, burst: int, now: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = float(burst)
        self._filled_at = now

    def take(self, count: int, now: float) -> float:
        """Takes tokens for `count` events: 0 where there are enough, else the seconds
        after which there will be (and none is taken).

        A batch that is larger than the bucket passes when the bucket is full.
        """
        elapsed = max(0.0, now - self._filled_at)
        self._tokens = min(self._burst, self._tokens + elapsed * self._per_second)
        self._filled_at = now
        missing = min(count, self._burst) - self._tokens
        if missing > 0:
            return missing / self._per_second
        self._tokens -= count
        return 0.0
