"""Recommendations: models on interaction tables, and whether they are any good.

Belongs here: models, their evaluation, and what serving does with scores (rules,
diversity, exploration, cold start). Not here: where interactions come from (dbt), when
models are trained, or the API that answers a page.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nearline.recommend.evaluation import evaluate
    from nearline.recommend.session_evaluation import evaluate_sessions

__all__ = ["evaluate", "evaluate_sessions"]


def __getattr__(name: str) -> Any:
    """Both are loaded when asked for: the command's help waits for no data library."""
    if name == "evaluate":
        from nearline.recommend.evaluation import evaluate

        return evaluate
    if name == "evaluate_sessions":
        from nearline.recommend.session_evaluation import evaluate_sessions

        return evaluate_sessions
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
