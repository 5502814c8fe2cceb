"""The answer as one JSON object; docs/experiments.md describes every field."""

from dataclasses import asdict
from typing import Any

from nearline.experiments.analysis import Answer, Question
from nearline.experiments.conclusion import Conclusion, cannot_conclude
from nearline.experiments.findings import Finding


def build_document(
    answer: Answer, question: Question, conclusion: Conclusion
) -> dict[str, Any]:
    """All that the report says, for machines; a number that is not known is null."""
    metrics: dict[str, dict[str, Any]] = {}
    for result in answer.results:
        row = asdict(result)
        row["is_primary"] = result.metric == answer.primary_metric
        metrics.setdefault(result.metric, {})[result.variant] = row
    problems = [asdict(finding) for finding in answer.findings]
    for result in answer.results:
        if result.problem is not None and result.problem not in answer.findings:
            where = {"metric": result.metric, "variant": result.variant}
            problems.append({**asdict(result.problem), **where})
    return {
        "verdict": conclusion.sentence,
        "decision": conclusion.decision.code,
        "control": answer.control,
        "unit_counts": dict(answer.unit_counts),
        "srm_p_value": answer.srm_p_value,
        "srm_status": answer.srm_status.value,
        "primary_metric": answer.primary_metric,
        "metrics": metrics,
        "problems": problems,
        "checks": [asdict(check) for check in answer.checks],
        "confidence_level": question.horizon.confidence_level,
        "horizon": question.horizon.name,
        "correction": question.correction,
        "prior_standard_deviation": question.prior_standard_deviation,
    }


def build_refusal(finding: Finding) -> dict[str, Any]:
    """The same shape where the question itself could not be answered."""
    conclusion = cannot_conclude(finding.sentence)
    return {
        "verdict": conclusion.sentence,
        "decision": conclusion.decision.code,
        "srm_p_value": None,
        "metrics": {},
        "problems": [asdict(finding)],
    }
