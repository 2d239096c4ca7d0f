"""Names of series, there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.sample import MAX_SERIES, parts, series


def test_labels_stand_in_order():
    assert series("disk.used_percent", mount="/var", device="sda1") == "disk.used_percent{device=sda1,mount=/var}"
    assert series("cpu.used_percent") == "cpu.used_percent"
    assert parts("cpu.used_percent") == ("cpu.used_percent", {})


@given(
    st.dictionaries(st.sampled_from(["mount", "device", "name"]), st.text(st.characters(codec="utf-8"), max_size=20))
)
def test_what_was_written_is_read(labels: dict[str, str]):
    try:
        name = series("disk.used_percent", **labels)
    except ValueError:
        return
    assert len(name) <= MAX_SERIES
    assert name.isprintable()
    assert parts(name) == ("disk.used_percent", labels)


@pytest.mark.parametrize(
    "text",
    [
        "", "CPU", "cpu..x", "cpu.", "cpu{", "cpu{}", "cpu{a}", "cpu{a=1", "cpu{b=1,a=2}", "cpu{a=1,a=1}", "cpu{a=\n}",
        "cpu{a=%0a}", "cpu{a=%FF}", "cpu{A=1}", "cpu{a={}", "x" * 201,
    ],
)  # fmt: skip
def test_other_writings_are_none(text: str):
    with pytest.raises(ValueError, match=r"expected|decode"):
        parts(text)


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str):
    try:
        metric, labels = parts(text)
    except ValueError:
        return
    assert series(metric, **labels) == text
