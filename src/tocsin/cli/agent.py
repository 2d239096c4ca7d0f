"""`tocsin agent`: watches this host from inside. `run` is what it does when no other word is given."""

from __future__ import annotations

import argparse
import gc
import json
import sys
from difflib import get_close_matches
from pathlib import Path

from tocsin import settings
from tocsin.errors import SettingsError

WRONG, NOT_RUNNING, NOT_KNOWN = 2, 3, 4


def run(argv: list[str]) -> int:
    """Run an agent until a signal comes (0 after a graceful stop), check its file (2 when it is wrong), or say how the one
    that runs is (3 when none does, 4 when its file cannot be read, so that it is not known where to look)."""
    if argv[:1] == ["install"]:
        from tocsin.cli.agent_install import run as install

        return install(argv[1:])
    if argv[:1] in (["-h"], ["--help"], ["help"]):
        print(_overview())
        return 0
    if argv and not argv[0].startswith("-") and argv[0] not in _COMMANDS:
        near = get_close_matches(argv[0], _HELP, 1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        print(f"tocsin agent: expected {', '.join(_HELP)}, found {argv[0]!r}{meant}", file=sys.stderr)
        return WRONG
    words = argv if argv and argv[0] in _COMMANDS else ["run", *argv]
    made = argparse.ArgumentParser(prog=f"tocsin agent {words[0]}", description=_HELP[words[0]], allow_abbrev=False)
    made.add_argument(
        "--config", metavar="FILE", type=Path, help="the agent's file (YAML); else the one TOCSIN_AGENT_CONFIG names"
    )
    if words[0] == "status":
        made.add_argument("--json", action="store_true", help="all of it as JSON")
    return _COMMANDS[words[0]](made.parse_args(words[1:]))


def _overview() -> str:
    """What `tocsin agent --help` prints."""
    lines = ["usage: tocsin agent [COMMAND] [options]    (tocsin agent COMMAND --help for its options)", ""]
    lines += [f"  {name:<13} {help}" for name, help in _HELP.items()]
    return "\n".join(lines)


def _run(args: argparse.Namespace) -> int:
    gc.disable()  # until it has started
    given = settings.read()
    from tocsin.app.agent import serve

    return serve(given, args.config)


def _check(args: argparse.Namespace) -> int:
    given = settings.read()
    from tocsin.agent.doubts import doubts
    from tocsin.app.agent import configuration, file_of

    config = configuration(given, args.config)
    odd = doubts(config)
    for warning in (*config.warnings, *odd):
        print(f"tocsin: {warning}", file=sys.stderr)
    seen = ", ".join(monitor.id for monitor in config.monitors) or "the host itself"
    told = ", ".join(channel.name for channel in config.channels) or "nobody"
    file = file_of(given, args.config)
    how = "can be taken, though some of it is odd" if odd else "is good"
    head = f"The file {file} {how}." if file else "There is no file: what follows is said by the environment alone."
    print(f"{head} It looks at: {seen}. By itself it tells: {told}. Servers: {', '.join(config.urls) or 'none'}.")
    return 0


def _status(args: argparse.Namespace) -> int:
    given = settings.read()
    from tocsin.agent.disk import is_at_work
    from tocsin.agent.standing import lines, read_standing
    from tocsin.app.agent import configuration, data_folder, folder_anyway

    try:
        config = configuration(given, args.config)
        folder = data_folder(given, config)
    except SettingsError as error:
        print(f"tocsin: {error}", file=sys.stderr)
        try:
            folder = folder_anyway(given, args.config)
        except SettingsError:
            print("tocsin: so it is not known where an agent keeps its things, nor whether one runs", file=sys.stderr)
            return NOT_KNOWN
    said = read_standing(folder)
    if said is None and is_at_work(folder):
        print(
            f"tocsin: an agent runs with the folder {folder}, but left no word of how it is: is its disk full?",
            file=sys.stderr,
        )
        return 0
    if said is None:
        print(f"tocsin: no agent runs with the folder {folder}", file=sys.stderr)
        return NOT_RUNNING
    print(json.dumps(said, indent=2) if args.json else "\n".join(lines(said)))
    return 0


_COMMANDS = {"run": _run, "check-config": _check, "status": _status}
_HELP = {
    "run": "Watch this host from inside: collect, judge, hand over to the server, and tell by itself when it is away. Done\n"
    "                when no command is named.",
    "check-config": "Read the agent's file and say what is wrong with it; nothing is started.",
    "status": "Say how the agent that runs on this host is.",
    "install": "Make it a service of this host, bring that up to date, or take it away.",
}
