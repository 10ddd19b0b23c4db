"""Durations as users write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafana_datasource_operator.api.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("90s", 90),
        ("10m", 600),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1m30s", 90),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("1h1m1s500ms", 3661.5),
    ],
)
def test_a_duration_is_the_sum_of_its_parts(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "m",
        "-1s",
        "+1s",
        "1 s",
        " 1s",
        "1s ",
        "1s\n",
        "1d",
        "1H",
        ".5s",
        "1.s",
        "1,5s",
        "٣s",
    ],
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 30s, 10m or 1h30m"):
        parse_duration(text)


@given(st.integers(0, 999), st.integers(0, 999), st.integers(0, 999))
def test_the_order_of_parts_does_not_matter(hours: int, minutes: int, seconds: int) -> None:
    assert (
        parse_duration(f"{hours}h{minutes}m{seconds}s")
        == parse_duration(f"{seconds}s{hours}h{minutes}m")
        == hours * 3600 + minutes * 60 + seconds
    )


@given(st.text(max_size=8))
def test_a_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        assert parse_duration(text) >= 0
    except ValueError as error:
        assert "must be a duration" in str(error)  # noqa: PT017 - both ends are right
