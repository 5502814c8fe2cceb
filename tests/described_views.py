"""A dbt project that is nothing but described feature views, for tests of descriptions.

Belongs here: writing the YAML that an analytics engineer would write. The SQL beside it
is empty: nobody runs it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ONE_HOUR = "ftr_visitor__activity_1h"

Description = dict[str, Any]


def described(
    model: str = ONE_HOUR, features: Mapping[str, str] | None = None, **meta: Any
) -> Description:
    """A model of visitors with one feature, unless said otherwise."""
    columns = {
        "visitor_id": "varchar",
        "event_timestamp": "timestamp",
        "created_timestamp": "timestamp",
        **(features or {"page_view_count_1h": "bigint"}),
    }
    return {
        "name": model,
        "description": f"One row per visitor and moment of {model}.",
        "config": {
            "contract": {"enforced": True},
            "meta": {
                "feature_view": {
                    "name": "activity",
                    "version": 1,
                    "entity": "visitor",
                    "services": ["features_v1"],
                    "ttl_days": 36_500,
                    **meta,
                }
            },
        },
        "columns": [
            {"name": name, "data_type": data_type}
            for name, data_type in columns.items()
        ],
    }


def write_project(folder: Path, *models: Description) -> Path:
    """Writes a project that describes `models` and no others; returns its folder."""
    features = folder / "models" / "features"
    features.mkdir(parents=True, exist_ok=True)
    for path in features.iterdir():
        path.unlink()
    for model in models:
        features.joinpath(f"{model['name']}.sql").touch()
        text = yaml.safe_dump({"version": 2, "models": [model]}, sort_keys=False)
        features.joinpath(f"{model['name']}.yml").write_text(text)
    return folder
