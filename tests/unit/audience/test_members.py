"""Who may be told to others; `audience_release` says of each person why."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nearline.audience.members import MEMBER_SCHEMA, read_audience
from nearline.errors import InputError
from nearline.privacy.suppression import suppress
from nearline.settings import Settings
from tests.unit.audience.audience_release import SINCE, publish

NOW = datetime(2026, 3, 3, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return publish(tmp_path)


def test_members_are_those_whose_consent_allows_the_purpose(settings: Settings) -> None:
    suppress(settings, "user", "u_hal00001", "erased", NOW)
    audience = read_audience(settings, "cart_abandoner", "marketing")
    assert audience.members.schema.equals(MEMBER_SCHEMA)
    assert audience.members.to_pylist() == [
        {
            "person_id": "p_ann",
            "user_ids": [],
            "contact_ids": [],
            "visitor_ids": ["v_ann_0001"],
            "member_since": SINCE,
        },
        {
            "person_id": "p_ben",
            "user_ids": ["u_ben00001"],
            "contact_ids": ["c_ben00001"],
            "visitor_ids": ["v_ben_0001", "v_ben_0002"],
            "member_since": SINCE,
        },
        {
            "person_id": "p_eve",
            "user_ids": [],
            "contact_ids": [],
            "visitor_ids": ["v_eve_0001", "v_eve_0002"],
            "member_since": SINCE,
        },
    ]
    assert audience.left_out == {"never_asked": 2, "refused": 1, "suppressed": 1}
    assert audience.release_id == "r1"


def test_another_purpose_is_another_consent(settings: Settings) -> None:
    audience = read_audience(settings, "cart_abandoner", "personalization")
    assert audience.members["person_id"].to_pylist() == ["p_cem"]
    # Of the others, ann, ben and hal said no; dora, eve and gil nothing.
    assert audience.left_out == {"never_asked": 3, "refused": 3, "suppressed": 0}


@pytest.mark.parametrize(
    ("kind", "key"),
    [("visitor", "v_ben_0002"), ("user", "u_ben00001"), ("contact", "c_ben00001")],
)
def test_one_key_on_the_suppression_list_takes_the_person_out(
    settings: Settings, kind: str, key: str
) -> None:
    suppress(settings, kind, key, "opted_out", NOW)  # type: ignore[arg-type]
    audience = read_audience(settings, "cart_abandoner", "marketing")
    assert audience.members["person_id"].to_pylist() == ["p_ann", "p_eve", "p_hal"]
    assert audience.left_out["suppressed"] == 1


def test_clusters_and_hybrids_are_segments_too(settings: Settings) -> None:
    audience = read_audience(settings, "casual_browser/cluster_0", "marketing")
    assert audience.members["person_id"].to_pylist() == ["p_fay"]


def test_an_unknown_segment_lists_those_there_are(settings: Settings) -> None:
    with pytest.raises(
        InputError, match=r"segments: cart_abandoner, casual_browser/cluster_0$"
    ):
        read_audience(settings, "anna@example.com", "marketing")


def test_what_is_not_published_is_told(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing is published yet"):
        read_audience(Settings(home=tmp_path / "new"), "x", "marketing")
    (settings.releases / "r1" / "dim_consents.parquet").unlink()
    with pytest.raises(InputError, match="r1 has no table dim_consents"):
        read_audience(settings, "cart_abandoner", "marketing")
    shutil.rmtree(settings.releases / "r1")
    with pytest.raises(InputError, match="nothing is published yet"):
        read_audience(settings, "cart_abandoner", "marketing")
