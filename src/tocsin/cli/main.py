"""`tocsin COMMAND …`: finds the command's file and runs it; nothing else is imported."""

from __future__ import annotations

import sys
from importlib import import_module

from tocsin import __version__
from tocsin.errors import SettingsError

COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("tocsin.cli.serve", "start the server: checks, alerts, API and pages"),
    "check": ("tocsin.cli.check", "run one check now and print what it saw; nothing is stored"),
    "probe": ("tocsin.cli.probe", "run checks here for a server elsewhere"),
    "agent": ("tocsin.cli.agent", "watch this host from inside, and tell by itself when the server is away"),
    "doctor": ("tocsin.cli.doctor", "look for what is wrong with this installation"),
    "bench": ("tocsin.cli.bench", "measure how fast this machine checks"),
    "settings": ("tocsin.cli.settings", "list every setting, its value and where it comes from"),
    "join": ("tocsin.cli.join", "join another server with all this one has"),
    "reset-password": ("tocsin.cli.reset_password", "set a new password for somebody who cannot sign in"),
}
USAGE = 2


def run(argv: list[str] | None = None) -> int:
    """Run one command and give its exit code; 2 for wrong usage or a wrong setting."""
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    name, rest = words[0], words[1:]
    if name in ("version", "--version", "-V"):
        print(f"tocsin {__version__}")
        return 0
    if name not in COMMANDS:
        from difflib import get_close_matches

        near = get_close_matches(name, [*COMMANDS, "version"], 1)
        hint = f" (did you mean {near[0]}?)" if near else "; `tocsin` alone lists the commands"
        print(f"tocsin: there is no command {name!r}{hint}", file=sys.stderr)
        return USAGE
    try:
        return import_module(COMMANDS[name][0]).run(rest)
    except SystemExit as stop:  # argparse: 0 after --help, 2 for wrong usage
        return stop.code if isinstance(stop.code, int) else USAGE
    except SettingsError as error:
        for line in str(error).splitlines():  # one for each setting that is wrong
            print(f"tocsin: {line}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has gone; a last flush would complain again
        sys.stderr.close()
        return 0


def overview() -> str:
    """The help page that a bare `tocsin` prints."""
    lines = [f"Tocsin {__version__}: watches, agrees on what is really down, and tells the right person.", ""]
    lines += ["usage: tocsin COMMAND [options]    (tocsin COMMAND --help for its options)", ""]
    lines += [f"  {name:<16}{text}" for name, (_, text) in COMMANDS.items()]
    lines += [f"  {'version':<16}print the version"]
    return "\n".join(lines)
