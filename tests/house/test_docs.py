"""Docs, registries, tests and code say the same."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

from house.source import PACKAGE, ROOT
from tocsin import checks, collectors, notifiers
from tocsin.cli.main import COMMANDS
from tocsin.core.access import Permission
from tocsin.core.alert import Event
from tocsin.settings import SETTINGS
from tocsin.web.routes import ROUTES

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_parts_are_up_to_date() -> None:
    assert [str(p.relative_to(ROOT)) for p in generator().out_of_date()] == [], "run `make docs`"


def test_every_setting_has_its_row() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    assert [s.variable for s in SETTINGS if f"`{s.variable}`" not in page] == []


@pytest.mark.parametrize(
    ("room", "registry"),
    [("checks", checks.REGISTRY), ("collectors", collectors.REGISTRY), ("notifiers", notifiers.REGISTRY)],
)
def test_a_kind_is_a_file_a_line_a_page_and_a_test(room: str, registry: dict[str, str]) -> None:
    names = set(registry)
    missing: list[str] = []
    for name in sorted(names):
        file = PACKAGE.parent / (registry[name].replace(".", "/") + ".py")
        wanted = [file, ROOT / "docs" / room / f"{name}.md", ROOT / "tests" / room / f"test_{file.stem}.py"]
        missing += [str(path.relative_to(ROOT)) for path in wanted if not path.is_file()]
    pages = {p.stem for p in (ROOT / "docs" / room).glob("*.md")}
    assert missing == []
    assert pages == names


def test_rules_of_collectors_have_names_of_their_own() -> None:
    ids = [rule.id for name in collectors.names() for rule in collectors.kind(name).rules]
    assert len(ids) == len(set(ids))
    wrong = [
        rule.id
        for name in collectors.names()
        for rule in collectors.kind(name).rules
        if not re.fullmatch(rf"builtin:{name}\.[a-z_]+", rule.id)
    ]
    assert wrong == []


def test_every_route_says_who_may_call_it_and_stands_once() -> None:
    allowed = set(get_args(Permission))
    assert [f"{r.method} {r.path}" for r in ROUTES if r.permission not in allowed] == []
    seen = [(r.method, r.path) for r in ROUTES]
    assert sorted({s for s in seen if seen.count(s) > 1}) == []
    assert all(r.summary for r in ROUTES)


def test_little_is_public() -> None:
    """A route that anybody may call is named here, so that none becomes one by accident."""
    public = {f"{r.method} {r.path}" for r in ROUTES if r.permission == "public" and r.kind != "page"}
    expected = re.compile(
        r"(/setup|/auth/\w+|/health(/ready)?|/monitoring/health|/openapi\.json|/docs|/static/|/favicon\.ico|/api/push/|/invitations/accept|/ping/|/live|/probe/api/join|/install\.sh)"
    )
    assert [route for route in sorted(public) if not expected.search(route)] == []


def test_links_between_pages_lead_somewhere() -> None:
    broken: list[str] = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
            if not re.match(r"\w+:", target) and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []


def test_commands_in_the_pages_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    wrong: list[str] = []
    for page in PAGES:
        text = page.read_text()
        wrong += [f"{page.name}: make {t}" for t in re.findall(r"(?:`|^)make ([a-z]+)", text, re.M) if t not in targets]
        found = re.findall(r"(?:`|^|/bin/)tocsin ([a-z-]+)", text, re.M)
        wrong += [f"{page.name}: tocsin {c}" for c in found if c not in COMMANDS and c != "version"]
    assert wrong == []


def test_paths_of_the_tour_exist() -> None:
    tour = (ROOT / "README.md").read_text()
    known = {re.sub(r"\{\w+\}", "X", r.path) for r in ROUTES}
    used = {"/api/v1" + re.sub(r"\$\w+", "X", p) for p in re.findall(r"\$api(/[\w/$-]*)", tour)}
    assert used
    assert sorted(used - known) == []


def test_words_of_the_glossary_stand_there_once() -> None:
    rows = re.findall(r"^\| (\*\*.+?\*\*.*?) \|", (ROOT / "docs" / "glossary.md").read_text(), re.M)
    words = [w for row in rows for w in re.findall(r"\*\*(.+?)\*\*", row)]
    assert len(words) > 25
    assert len(words) == len(set(words))


def test_the_webhooks_page_says_which_events_are_sent() -> None:
    page = (ROOT / "docs" / "notifiers" / "webhook.md").read_text()
    told = page[page.index("`event` is") : page.index("What asks")]
    assert set(re.findall(r"`([a-z.]+)`", told)) - {"event"} == set(get_args(Event))


def test_no_page_holds_a_path_of_somebodys_machine() -> None:
    said = re.compile(r"(/home/\w|/root/|/work/|/Users/\w)")
    assert [f"{p.relative_to(ROOT)}: {m[0]}" for p in PAGES for m in said.finditer(p.read_text())] == []


def test_pydantic_is_not_installed() -> None:
    """It would come in through an optional import and cost ten megabytes at once."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert not any("pydantic" in d for d in declared["dependencies"])
    assert "pydantic" not in {d.metadata["Name"].lower() for d in distributions()}


def test_changes_are_written_down() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in text


@pytest.mark.parametrize("script", [".ci/run"])
def test_scripts_are_runnable_and_parse(script: str) -> None:
    path = ROOT / script
    assert path.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0


def test_bare_make_lists_the_targets() -> None:
    shown = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {"run", "check", "test", "soak", "bench", "docs"} <= set(re.findall(r"make (\w+)", shown))
    assert Path(sys.executable).exists()
