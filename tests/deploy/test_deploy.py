"""What is in deploy/ is sound, as far as the tools on this machine can say, and the roll-out does what it promises."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon import free_port
from house.source import ROOT
from needs import require
from probe.hub import KEY
from probe.test_process import probe
from tocsin.settings import SETTINGS

DEPLOY = ROOT / "deploy"
COMPOSE = sorted((DEPLOY / "compose").glob("*.yaml"))
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
AGENT = "/usr/local/lib/tocsin-agent/current/bin/tocsin"
KNOWN = {s.variable for s in SETTINGS}


def test_the_scripts_pass_shellcheck() -> None:
    beside = Path(sys.executable).parent / "shellcheck"
    found = str(beside) if beside.exists() else shutil.which("shellcheck")
    require("shellcheck", found)
    scripts = [*DEPLOY.glob("*.sh"), ROOT / "src" / "tocsin" / "agent" / "install" / "install.sh"]
    done = subprocess.run([str(found), *map(str, scripts)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert all(os.access(script, os.X_OK) for script in DEPLOY.glob("*.sh"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda p: p.stem)
def test_the_units_are_sound_and_sandboxed(unit: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    require("systemd-analyze", analyze)
    there = tmp_path / unit.name
    there.write_text(unit.read_text().replace("/opt/tocsin/bin/tocsin", sys.executable).replace(AGENT, sys.executable))
    done = subprocess.run([str(analyze), "verify", str(there)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    scored = subprocess.run(
        [str(analyze), "security", "--offline=yes", "--threshold=25", str(there)], capture_output=True, text=True
    )
    assert scored.returncode == 0, scored.stdout[-300:]  # 2.5 of 10 at most
    assert set(re.findall(r"(TOCSIN_[A-Z_]+)=", unit.read_text())) <= KNOWN


def test_the_page_on_operation_shows_the_unit() -> None:
    page = (ROOT / "docs" / "operation.md").read_text()
    assert (DEPLOY / "systemd" / "tocsin.service").read_text().strip() in page


@pytest.mark.parametrize("file", COMPOSE, ids=lambda p: p.stem)
def test_a_compose_file_names_what_there_is(file: Path) -> None:
    read = yaml.safe_load(file.read_text())
    (service,) = read["services"].values()
    assert set(service["environment"]) <= KNOWN
    assert (file.parent / service["build"]["context"] / service["build"]["dockerfile"]).resolve().is_file()
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    mounted = {name for volume in service["volumes"] if (name := volume.split(":")[0])[0] not in "/."}
    assert mounted == set(read["volumes"])
    for value in service["environment"].values():  # a secret is given from outside, never written here
        assert "secret" not in value.lower() or value.startswith("${")


def test_the_image_runs_as_nobody_of_importance_and_can_be_asked() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    steps: list[tuple[str, str]] = [
        (words[0], words[2]) for line in lines if line and not line.startswith("#") and (words := line.partition(" "))
    ]
    last = [name for name, _ in steps].index("USER")
    assert steps[last][1] == "10001"
    assert all(name not in ("RUN", "COPY") for name, _ in steps[last:])
    assert {"HEALTHCHECK", "ENTRYPOINT", "VOLUME", "STOPSIGNAL"} <= {name for name, _ in steps[last:]}
    assert set(re.findall(r"(TOCSIN_[A-Z_]+)=", (DEPLOY / "Dockerfile").read_text())) <= KNOWN
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = [text.split()[:-1] for name, text in steps if name == "COPY" and not text.startswith("--from")]
    copied = [path for paths in copies for path in paths]
    assert copied
    assert all((ROOT / path).exists() for path in copied)
    assert {path.removeprefix("./") for path in copied} == let_in


# --- the roll-out ---------------------------------------------------------------------------------------------------


class Host:
    """A host whose files are below a folder. `ssh` leads there, and notes with what words it was called; so does
    `systemctl`."""

    def __init__(self, folder: Path) -> None:
        self.root, self.bin, self.notes = folder / "root", folder / "bin", folder / "notes"
        self.bin.mkdir()
        home = self.root / "opt" / "tocsin" / "bin"
        home.mkdir(parents=True)
        note = f'echo "$(basename "$0") $*" >>{self.notes}\n'
        self._script(self.bin / "ssh", note + 'shift\nexec sh -c "$*"\n')
        self._script(self.bin / "systemctl", note)
        self._script(home / "python", f'[ "$2" = pip ] && exit 0\nexec {sys.executable} "$@"\n')
        self._script(home / "tocsin", f'exec {sys.executable} -m tocsin "$@"\n')
        self.notes.touch()

    def _script(self, file: Path, text: str) -> None:
        file.write_text("#!/bin/sh\n" + text)
        file.chmod(0o755)

    def roll_out(self, *words: str, stdin: str = f"{KEY}\n".replace(" ", "-"), **more: str) -> tuple[int, str]:
        done = subprocess.run(
            [str(DEPLOY / "probe.sh"), *words], input=stdin, capture_output=True, text=True, timeout=60,
            env={"PATH": f"{self.bin}:{os.environ['PATH']}", "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
                 "PROBE_ROOT": str(self.root)} | more,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def done(self) -> list[str]:
        """What was called since the last time, without the words of ssh."""
        lines = self.notes.read_text().splitlines()
        self.notes.write_text("")
        return [line for line in lines if not line.startswith("ssh")]


async def test_a_roll_out_changes_only_what_is_not_so_already(tmp_path: Path) -> None:
    port = str(free_port())
    host = Host(tmp_path)
    key = KEY.replace(" ", "-")
    more: dict[str, Any] = {"PROBE_PORT": port, "PROBE_ALLOW": "192.0.2.0/24,10.0.0.1"}
    async with probe(
        tmp_path / "data", TOCSIN_PROBE_PORT=port, TOCSIN_PROBE_KEY=KEY, TOCSIN_PROBE_HOST="127.0.0.1"
    ) as run:
        await run.says("probe.started")
        code, said = await asyncio.to_thread(host.roll_out, "europe", "one.example", "two.example", **more)
        assert (code, said.count("changed: yes"), said.count("changed: no")) == (0, 1, 1), (
            said
        )  # both are one folder here
        file = host.root / "etc" / "tocsin" / "probe.env"
        assert file.read_text().splitlines() == [
            "TOCSIN_REGION_CODE=europe", f"TOCSIN_PROBE_PORT={port}", "TOCSIN_PROBE_ALLOW=192.0.2.0/24,10.0.0.1",
            f"TOCSIN_PROBE_KEY={key}",
        ]  # fmt: skip
        assert file.stat().st_mode & 0o777 == 0o600
        unit = host.root / "etc" / "systemd" / "system" / "tocsin-probe.service"
        assert unit.read_text() == (DEPLOY / "systemd" / "tocsin-probe.service").read_text()
        assert key not in host.notes.read_text()  # it stood in no list of processes
        assert "systemctl restart tocsin-probe" in host.done()
        code, said = await asyncio.to_thread(host.roll_out, "europe", "one.example", **more)
        assert (code, "changed: no" in said) == (0, True), said
        assert host.done() == ["systemctl is-active --quiet tocsin-probe"]
        code, said = await asyncio.to_thread(
            host.roll_out, "europe", "one.example", stdin="another-key-of-enough\n", **more
        )
        assert (code, "changed: yes" in said) == (0, True), said
        token = "https://watch.example.org#t0ken"
        code, said = await asyncio.to_thread(host.roll_out, "--join", "asia", "one.example", stdin=token, **more)
        assert (code, f"TOCSIN_PROBE_JOIN={token}" in file.read_text()) == (0, True), said


@pytest.mark.parametrize(
    ("words", "stdin", "says"),
    [
        ((), "", "usage:"),
        (("europe",), "", "usage:"),
        (("europe", "a.example"), "short\n", "at least 16 characters"),
        (("europe", "a.example"), "a key with 'quotes' in it\n", "key: expected letters"),
        (("eu;rm", "a.example"), "k" * 16, "REGION: expected letters"),
        (("europe", "a.example$(id)"), "k" * 16, "HOST: expected letters"),
        (("--join", "europe", "a.example"), "k" * 16, "expected URL#token"),
        (("--join", "europe", "a.example", "b.example"), "https://a.example#t", "takes one host"),
    ],
)
def test_a_roll_out_refuses_what_it_cannot_use(tmp_path: Path, words: tuple[str, ...], stdin: str, says: str) -> None:
    host = Host(tmp_path)
    code, said = host.roll_out(*words, stdin=stdin)
    assert (code, says in said) == (2, True), said
    assert host.notes.read_text() == ""


def test_a_host_that_fails_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    host = Host(tmp_path)
    (host.bin / "ssh").write_text('#!/bin/sh\necho "$1" >>"$0.hosts"\nexit 255\n')
    code, said = host.roll_out("europe", "one.example", "two.example", stdin="k" * 16)
    assert code == 1
    assert [f"{name}.example: failed" in said for name in ("one", "two")] == [True, True]
