"""Feature views: one for each dbt model of features, on its published Parquet.

Belongs here: turning descriptions into Feast's objects. Which views there are, their
fields and types stand in the YAML beside each model (`dbt_models.py` reads it); nothing
is listed here. A field missing in the Parquet stops the refresh before anything is
written.

A view may gain fields. To change or take one away, add a model with the same `name` and
the next `version`: a running app resolves the fields that it knows against the view that
is registered now, and fails at the first one that differs. Fields carry no description
for the same reason: it is part of what must not differ.

Views become module-level names, one by one: Feast registers no view that is in a list.
"""

import os
from datetime import timedelta
from pathlib import Path

import entities
from dbt_models import (
    CREATED_TIMESTAMP,
    EVENT_TIMESTAMP,
    ViewModel,
    project_folder,
    view_models,
)
from feast import FeatureView, Field, FileSource
from feast.types import (
    Array,
    Bool,
    FeastType,
    Float32,
    Float64,
    Int32,
    Int64,
    String,
    UnixTimestamp,
)

# A relative home is relative to the project, wherever the command is run.
HOME = Path(__file__).resolve().parents[1] / os.environ.get(
    "NEARLINE_HOME", ".nearline"
)

# Feast makes its files there, but not the folder: `feast apply` on a fresh checkout.
(HOME / "online").mkdir(parents=True, exist_ok=True)

TYPES: dict[str, FeastType] = {
    "bigint": Int64,
    "integer": Int32,
    "double": Float64,
    "float": Float32,
    "varchar": String,
    "boolean": Bool,
    "timestamp": UnixTimestamp,
    "varchar[]": Array(String),
    "bigint[]": Array(Int64),
}


def feature_view(model: ViewModel) -> FeatureView:
    """The view of `model`.

    Values are stored at the moments at which they change, back to zero included, so the
    latest row holds until the next. `ttl_days` says after how long we no longer claim to
    know somebody; it is longer than any window, so that no window is cut short.
    """
    return FeatureView(
        name=model.registered_name,
        entities=[getattr(entities, model.entity)],
        ttl=timedelta(days=model.ttl_days),
        schema=[
            Field(name=model.join_key, dtype=String),
            *(
                Field(name=column.name, dtype=TYPES[column.data_type])
                for column in model.features
            ),
        ],
        source=FileSource(
            name=model.model,
            path=str(HOME / "published" / f"{model.model}.parquet"),
            timestamp_field=EVENT_TIMESTAMP,
            created_timestamp_column=CREATED_TIMESTAMP,
        ),
        description=model.description,
    )


MODELS = view_models(project_folder())

globals().update({model.registered_name: feature_view(model) for model in MODELS})
