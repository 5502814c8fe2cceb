"""P-values of several comparisons, adjusted so that luck has as many tries as it had."""

from collections.abc import Callable, Mapping, Sequence


def adjust_holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given; bounds the chance of any false positive.

    Holm (1979), Scandinavian Journal of Statistics 6. Needs no independence.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(_by_size(p_values)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def adjust_benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given; bounds the share of false discoveries.

    Benjamini and Hochberg (1995), JRSS B 57. Independent or positively dependent tests.
    """
    count = len(p_values)
    adjusted = [0.0] * count
    lowest = 1.0
    for rank, index in reversed(list(enumerate(_by_size(p_values), start=1))):
        lowest = min(lowest, p_values[index] * count / rank)
        adjusted[index] = lowest
    return adjusted


def _by_size(p_values: Sequence[float]) -> list[int]:
    return sorted(range(len(p_values)), key=p_values.__getitem__)


CORRECTIONS: Mapping[str, Callable[[Sequence[float]], list[float]]] = {
    "holm": adjust_holm,
    "benjamini-hochberg": adjust_benjamini_hochberg,
    "none": list,
}
