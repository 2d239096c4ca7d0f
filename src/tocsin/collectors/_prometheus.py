"""The text that Prometheus reads (exposition format 0.0.4), as things that were said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from tocsin.collectors._pushed import Fresh

_STARTS = re.compile(r"(?:#\s*(?:TYPE|HELP)\s+)?(\S*)")


def read_text(text: str, prefixes: Sequence[str] = ()) -> Iterator[Fresh]:
    """What the text says of metrics whose names begin with one of the prefixes (none: of all). Buckets of histograms are
    passed over: their count and sum give rate and mean. Raises ValueError for what is no such text."""
    if prefixes:
        text = "\n".join(
            line
            for line in text.splitlines()
            if (m := _STARTS.match(line.strip())) and m[1].startswith(tuple(prefixes))
        )
    from prometheus_client.parser import text_string_to_metric_families  # 5 MB, for those who speak it

    try:
        for family in text_string_to_metric_families(text):
            yield from _family(family)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        words = str(error)[:100] or "a line of another form"
        raise ValueError(f"expected metrics as Prometheus reads them, found {words}") from None


def _family(family: Any) -> Iterator[Fresh]:
    if family.type in ("histogram", "summary", "gaugehistogram"):
        yield from _spread(family)
        return
    for sample in family.samples:
        labels = {name: str(value) for name, value in sample.labels.items()}
        if sample.name.endswith("_created"):
            continue
        counts = family.type == "counter" or (family.type in ("untyped", "unknown") and sample.name.endswith("_total"))
        yield Fresh("total" if counts else "gauge", sample.name, float(sample.value), labels)


def _spread(family: Any) -> Iterator[Fresh]:
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    counts: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in family.samples:
        key = tuple(sorted((str(n), str(v)) for n, v in sample.labels.items()))
        if sample.name.endswith("_count"):
            counts[key] = float(sample.value)
        elif sample.name.endswith("_sum"):
            sums[key] = float(sample.value)
        elif sample.name == family.name:  # a quantile of a summary
            yield Fresh("gauge", sample.name, float(sample.value), dict(key))
    for key, count in counts.items():
        yield Fresh("spread", family.name, count, dict(key), sum=sums.get(key, 0.0))
