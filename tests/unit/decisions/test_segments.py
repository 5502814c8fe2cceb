"""A visitor's segments are told for a purpose that the person allowed, and not otherwise."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from nearline.decisions.segments import Membership, Segments, read_segments
from nearline.errors import InputError
from nearline.privacy.suppression import suppress
from nearline.settings import Settings
from tests.unit.audience.audience_release import SINCE, publish

NOW = datetime(2026, 3, 3, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return publish(tmp_path)


# As the table of `audience_release` says of marketing.
@pytest.mark.parametrize(
    ("visitor", "segments", "reason"),
    [
        ("v_ann_0001", ["cart_abandoner"], None),
        ("v_ben_0002", ["cart_abandoner"], None),
        ("v_cem_0001", [], "no_consent"),
        ("v_dora_0001", [], "no_consent"),
        ("v_eve_0002", ["cart_abandoner"], None),
        ("v_fay_0001", ["casual_browser/cluster_0"], None),
        ("v_nobody0001", [], "unknown_visitor"),
        ("u_ben00001", [], "unknown_visitor"),
    ],
)
def test_current_segments_are_told_of_whose_person_allowed_it(
    settings: Settings, visitor: str, segments: list[str], reason: str | None
) -> None:
    expected = tuple(Membership(name, SINCE, False) for name in segments)
    found = read_segments(settings, visitor, "marketing")
    assert found == Segments("r1", expected, reason)


def test_another_purpose_is_another_consent(settings: Settings) -> None:
    assert read_segments(settings, "v_ann_0001", "personalization").reason == (
        "no_consent"
    )


@pytest.mark.parametrize(
    ("kind", "key"), [("visitor", "v_ben_0001"), ("user", "u_ben00001")]
)
def test_one_key_on_the_suppression_list_silences_the_person_at_once(
    settings: Settings, kind: str, key: str
) -> None:
    suppress(settings, kind, key, "erased", NOW)  # type: ignore[arg-type]
    found = read_segments(settings, "v_ben_0002", "marketing")
    assert found == Segments("r1", (), "suppressed")


def test_what_is_not_published_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no segments are published yet"):
        read_segments(Settings(home=tmp_path / "none"), "v_ann_0001", "marketing")
