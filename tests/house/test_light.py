"""One check from the command line stays light; a new check type touches only its file and one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HEAVY = {"litestar", "uvicorn", "sqlalchemy", "alembic", "jinja2", "asyncpg", "starlette", "pydantic"}
PROGRAM = """
import json, sys
{first}
from tocsin.cli.main import run
code = run(sys.argv[1:])
print(json.dumps({{"code": code, "modules": sorted({{m.split(".")[0] for m in sys.modules}})}}), file=sys.stderr)
"""


def tocsin(words: list[str], first: str = "", path: Path | None = None) -> tuple[int, str, set[str]]:
    """Exit code, output, and the modules that were imported."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TOCSIN_")}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(first=first), *words],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )
    assert done.stderr.strip(), done
    seen = json.loads(done.stderr.strip().splitlines()[-1])
    return seen["code"], done.stdout, set(seen["modules"])


@pytest.fixture
def port() -> Any:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_check_imports_no_web_framework_and_no_database(port: int) -> None:
    code, output, modules = tocsin(["check", "tcp", f"127.0.0.1:{port}", "--json"])
    assert (code, json.loads(output)["status"]) == (0, "up")
    assert modules & HEAVY == set()


def test_the_list_of_commands_imports_next_to_nothing() -> None:
    code, _, modules = tocsin([])
    assert code == 0
    assert modules & (HEAVY | {"asyncio", "msgspec", "structlog", "pycurl"}) == set()


STOPS = """
import os, pathlib, signal, threading, time
def stop():
    while not pathlib.Path({file!r}).exists():
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=stop, daemon=True).start()
"""


@pytest.mark.untraced
def test_an_agent_imports_nothing_heavy(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    monitors = "[{type: system}, {type: process, processes: [{name: shell, command: 'bin/sh -c'}]}]"
    file.write_text(f"server_url: http://127.0.0.1:9\ndata_dir: {tmp_path / 'data'}\nmonitors: {monitors}\n")
    stops = STOPS.format(file=str(tmp_path / "data" / "status.json"))
    code, _, modules = tocsin(["agent", "--config", str(file)], stops)
    assert code == 0
    heavy = HEAVY | {"joserfc", "pwdlib", "cryptography", "jsonschema_rs", "minijinja", "prometheus_client", "re2"}
    assert modules & heavy == set()


TOY = '''"""A toy check type, for the test that a kind is one file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tocsin.core.result import Observation
from tocsin.core.shape import Help, Range
from tocsin.errors import CheckFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A number that should be even."""

    number: Annotated[int, Range(0, 100), Help("the number to look at")]
    politely: Annotated[bool, Help("say please")] = False


async def check(target: Target, net: object) -> Observation:
    """Look at the number."""
    if target.number % 2:
        raise CheckFailed("protocol", f"{target.number} is odd")
    return Observation(facts={"polite": target.politely})
'''
LINE = "import tocsin.checks; tocsin.checks.REGISTRY['toy'] = 'toy_check'"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The toy as a module, and its line in this process's registry."""
    from tocsin import checks

    (tmp_path / "toy_check.py").write_text(TOY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(checks.REGISTRY, "toy", "toy_check")
    yield tmp_path
    checks.kind.cache_clear()
    sys.modules.pop("toy_check", None)


def test_a_new_check_type_runs_and_is_judged(toy: Path) -> None:
    import asyncio

    from tocsin import checks
    from tocsin.clock import SystemClock
    from tocsin.core import shape
    from tocsin.net import Net

    async def run(number: int) -> Any:
        async with Net() as net:
            target = shape.read(checks.kind("toy").target, {"number": number})
            return await checks.run(checks.Order("toy", target), net, SystemClock())

    assert checks.kind("toy").label == "A number that should be even"
    assert "toy" in checks.names()
    assert asyncio.run(run(4)).status == "up"
    odd = asyncio.run(run(3))
    assert (odd.status, odd.error.type, odd.error.message) == ("down", "protocol", "3 is odd")


def test_a_new_check_type_is_validated_and_described(toy: Path) -> None:
    from tocsin import checks
    from tocsin.core import shape
    from tocsin.errors import Invalid

    with pytest.raises(Invalid) as caught:
        shape.read(checks.kind("toy").target, {"number": 101, "polite": True})
    assert {p.field for p in caught.value.problems} == {"number", "polite"}
    described = shape.schema(checks.kind("toy").target)
    assert described["properties"]["number"] == {
        "type": "integer", "minimum": 0, "maximum": 100, "description": "the number to look at",
    }  # fmt: skip
    assert described["required"] == ["number"]
    assert [(f.name, f.required, f.help) for f in shape.fields(checks.kind("toy").target)] == [
        ("number", True, "the number to look at"),
        ("politely", False, "say please"),
    ]


def test_a_new_check_type_has_its_command(toy: Path) -> None:
    code, output, _ = tocsin(["check", "toy", "--help"], LINE, toy)
    assert code == 0
    assert "--politely" in output
    code, output, _ = tocsin(["check", "toy", "--number", "4", "--politely", "--json"], LINE, toy)
    assert (code, json.loads(output)["status"], json.loads(output)["facts"]) == (0, "up", {"polite": True})
    code, output, _ = tocsin(["check", "toy", "--number", "3", "--json"], LINE, toy)
    assert (code, json.loads(output)["status"]) == (1, "down")


async def test_a_new_check_type_has_its_form_and_its_api(toy: Path, tmp_path: Path) -> None:
    from real import FIRST, ask, given, running

    async with running(given(tmp_path)) as server:
        token = (await ask(server.port, "POST", "/api/v1/setup", FIRST))[1]["access_token"]
        types = (await ask(server.port, "GET", "/api/v1/check-types", None, token))[1]
        wrong = {"name": "Toy", "type": "toy", "target": {"number": 101}}
        refused = await ask(server.port, "POST", "/api/v1/monitors", wrong, token)
        made = await ask(server.port, "POST", "/api/v1/monitors", wrong | {"target": {"number": 4}}, token)
        ran = await ask(server.port, "POST", f"/api/v1/monitors/{made[1]['id']}/run", None, token)
    assert "the number to look at" in json.dumps(types)
    assert refused[0] in (400, 422)
    assert refused[1]["errors"][0]["field"] == "target.number"
    assert (ran[0], ran[1]["verdict"]) == (200, "up")
