"""Whatever comes from outside is read, or refused in words: no parser of ours breaks, hangs, or fills the memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from fuzz import inputs, line
from fuzz.parser import Parser, feed
from fuzz.table import FOUND, PARSERS


@pytest.fixture(autouse=True, scope="module")
def _line() -> Iterator[None]:
    yield
    line.close()


_QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large)


@pytest.mark.parametrize("parser", PARSERS, ids=lambda p: p.name)
def test_examples_are_taken(parser: Parser) -> None:
    """What is spoilt in the other test is good to begin with: else it would never come past the first check."""
    refused = [feed(parser, example) for example in parser.examples()]
    if parser.ends:
        assert any(parser.ends in (why or "") for why in refused), refused
    else:
        assert None in refused, refused


@pytest.mark.filterwarnings("ignore:Parsed a")  # the library says so of a certificate that it will not read some day
@pytest.mark.parametrize("parser", PARSERS, ids=lambda p: p.name)
def test_any_input_is_read_or_refused(parser: Parser) -> None:
    @settings(max_examples=25 if parser.slow else 50, suppress_health_check=_QUIET, database=None)
    @given(inputs.of(parser.examples()))
    def fed(data: bytes) -> None:
        feed(parser, data)

    fed()


@pytest.mark.soak
@pytest.mark.parametrize("parser", PARSERS, ids=lambda p: p.name)
def test_any_input_is_read_or_refused_for_long(parser: Parser) -> None:
    @settings(max_examples=20_000, derandomize=False, suppress_health_check=_QUIET, database=None)
    @given(inputs.of(parser.examples()))
    def fed(data: bytes) -> None:
        feed(parser, data)

    fed()


@pytest.mark.parametrize(("name", "data"), FOUND, ids=[f"{name} {i}" for i, (name, _) in enumerate(FOUND)])
def test_what_once_broke_a_parser_does_so_no_more(name: str, data: bytes) -> None:
    feed(next(parser for parser in PARSERS if parser.name == name), data)
