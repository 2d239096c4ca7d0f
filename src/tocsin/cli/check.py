"""`tocsin check TYPE TARGET …`: one check, now, from here; nothing is stored.

Each check type's options come from its Target dataclass; the assertions have short names of their own (cli/sugar.py).
Nothing of the server is imported. Of the settings count TOCSIN_EGRESS and, for types that use something of this machine
(nagios, docker, browser), what names it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from typing import Any

from tocsin import checks, settings
from tocsin.app.local import local_of
from tocsin.cli import outcome_text, sugar
from tocsin.core.plain import found, quiet_url
from tocsin.core.result import Outcome, outcome_json
from tocsin.core.shape import FieldShape, fields, loads, read
from tocsin.errors import Invalid, Problem, SettingsError
from tocsin.net.egress import Mode
from tocsin.net.local import Local

EXIT = {"up": 0, "degraded": 0, "down": 1, "invalid": 3}
USAGE = 2
_FILES = ("ca_file", "client_cert", "client_key")
_RENAMED = {
    "verify_tls": "--no-verify",
    "follow_redirects": "--no-follow",
    "headers": "--header",
    "record_type": "--type",
}
_LEFT_OFF = {
    "verify_tls": "accept any certificate",
    "follow_redirects": "do not follow redirects: a redirect is the answer",
    "write": "write no record: read the newest one that is there",
    "cookies": "keep no cookies from step to step",
}


def run(argv: Sequence[str]) -> int:
    """Run one check and print it; the exit code: 0 up or degraded, 1 down, 2 wrong usage, 3 could not be judged."""
    if not argv or argv[0] in ("-h", "--help"):
        _overview_parser().print_help()
        return 0 if argv else USAGE
    name = argv[0].replace("-", "_")
    if name not in checks.names() or name == "push":
        kinds = ", ".join(_command(n) for n in checks.names() if n != "push")
        why = ": such a monitor waits for calls to the server" if name == "push" else ""
        return _refuse(f"expected a check type ({kinds}), found {argv[0]!r}{why}")
    target_type = checks.kind(name).target
    args = _parser(name, fields(target_type)).parse_args(_steps_in_order(name, argv[1:]))
    try:
        data = _target_data(name, args, fields(target_type))
        given = sugar.assertions(args)
        # --expect stands for an assertion, which knows the whole answer only.
        if data.get("expect_mode", "set") != "set":
            data["expect"] = [text for a in given if a["type"] == "dns_answer" for text in a["value"]]
            given = [a for a in given if a["type"] != "dns_answer"]
        target = read(target_type, data)
        order = checks.Order(
            type=name,
            target=target,
            timeout_s=args.timeout,
            assertions=checks.check_assertions(given, name, "assertion"),
        )
    except Invalid as error:
        return _refuse(*(_as_option(p, name) for p in error.problems))
    try:
        allowed = settings.read()
    except SettingsError as error:
        return _refuse(*str(error).splitlines())
    local = local_of(allowed) if checks.kind(name).missing is not None else None
    with contextlib.redirect_stdout(sys.stderr):  # standard output is for the answer alone, whatever else is written
        outcome = asyncio.run(_look(order, allowed["EGRESS"], local))
    if args.json:
        shown = outcome_json(outcome)
        shown["final_url"] = shown["final_url"] and quiet_url(shown["final_url"])  # as the target is told
        print(json.dumps(shown, ensure_ascii=False, allow_nan=False))
    else:
        print(outcome_text.block(outcome))
    return EXIT[outcome.status]


async def _look(order: checks.Order, egress: Mode, local: Local | None) -> Outcome:
    from tocsin.clock import SystemClock
    from tocsin.net import Egress, Net

    async with Net(egress=Egress(egress), local=local) as net:
        return await checks.run(order, net, SystemClock())


def _refuse(*sentences: str) -> int:
    for sentence in sentences:
        print(f"tocsin check: {sentence}", file=sys.stderr)
    return USAGE


def _as_option(problem: Problem, name: str) -> str:
    """A problem in the words of the command line."""
    field = problem.field.partition(".")[0].partition("[")[0]
    if field == "assertion":
        return f"{sugar.option_of(problem.field)}: expected {problem.expected}, found {problem.found}"
    shapes = fields(checks.kind(name).target)
    title, positional = _positional(shapes)
    shape = next((s for s in shapes if s.name == field), None)
    if shape is not None and _is_structure(shape):
        return f"{_option(field)}-file, {problem.field}: expected {problem.expected}, found {problem.found}"
    option = title if field == positional or (title == "HOST:PORT" and field == "port") else _option_of(field, shape)
    return f"{option}: expected {problem.expected}, found {problem.found}"


def _positional(shapes: Sequence[FieldShape]) -> tuple[str, str]:
    """What the argument after the type is called, and the field it fills: HOST:PORT fills two, else the first field does
    when it is a text that must be given; a type whose first field is neither has options alone ("")."""
    names = [s.name for s in shapes]
    if "host" in names and "port" in names:
        return "HOST:PORT", "host"
    first = shapes[0]
    return (first.name.upper(), first.name) if first.kind == "text" and first.required else ("", "")


def _option_of(field: str, shape: FieldShape | None) -> str:
    """The option that fills this field: a secret comes from a file, never from a command line that others can see."""
    secret = shape is not None and shape.marks.hidden and shape.kind == "text" and field != "proxy"
    return f"{_option(field)}-file" if secret and field not in _FILES else _option(field)


def _command(name: str) -> str:
    """A check type as it is written on the command line."""
    return name.replace("_", "-")


def _is_structure(shape: FieldShape) -> bool:
    """Whether it is written as JSON in a file: objects, and pairs that nobody is to read on the command line."""
    if shape.kind == "map":
        return shape.marks.hidden and shape.name not in _RENAMED
    return shape.kind == "object" or (shape.item is not None and shape.item.kind == "object")


def _option(field: str) -> str:
    return _RENAMED.get(field, "--" + field.replace("_", "-"))


# --- the parser -----------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Refuses in our words: `tocsin check: expected …, found …`."""

    def error(self, message: str) -> Any:
        option, _, why = message.removeprefix("argument ").partition(": ")
        if why == "expected one argument":  # argparse takes what begins with - for an option
            message += f"; write {option.split('/')[-1]}=VALUE for a value that begins with -"
        self.exit(USAGE, f"tocsin check: {message}\n(`{self.prog} --help` lists the options)\n")


def _overview_parser() -> argparse.ArgumentParser:
    kinds = [checks.kind(n) for n in checks.names() if n != "push"]
    width = max(len(k.name) for k in kinds) + 2
    lines = "\n".join(f"  {_command(k.name):<{width}}{k.label}" for k in kinds)
    return argparse.ArgumentParser(
        prog="tocsin check",
        usage="tocsin check TYPE TARGET [options]",
        description="Run one check now and print what it saw; nothing is stored.",
        epilog=f"types:\n{lines}\n\n`tocsin check TYPE --help` lists a type's options."
        " Whom it may contact is what TOCSIN_EGRESS says, as for the server.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _parser(name: str, shapes: Sequence[FieldShape]) -> argparse.ArgumentParser:
    title, positional = _positional(shapes)
    parser = _Parser(
        prog=f"tocsin check {_command(name)}", description=checks.kind(name).label + ".", allow_abbrev=False
    )
    if positional:
        known = {s.name: s for s in shapes}
        shown, help_ = title, known[positional].help
        if title == "HOST:PORT" and not known["port"].required:
            shown, help_ = "HOST[:PORT]", f"{help_}; port {known['port'].default} where none is said"
        parser.add_argument("target", metavar=shown, help=help_)
    usual = float(checks.kind(name).start.get("timeout_s", 10))
    says = f"seconds for the whole check ({usual:g})"
    parser.add_argument("--timeout", type=_seconds, default=usual, metavar="S", help=says)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    for shape in shapes:
        if shape.name not in (positional, "port" if positional == "host" else "") and not (
            name == "dns" and shape.name == "expect"
        ):
            _add(parser, shape)
    sugar.add_options(parser, name)
    return parser


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.05 <= value <= 300:
        raise argparse.ArgumentTypeError(f"expected seconds from 0.05 to 300, found {text!r}")
    return value


def _add(parser: argparse.ArgumentParser, shape: FieldShape) -> None:
    """The option of one field of the Target."""
    text = shape.help.replace("%", "%%") or None
    option, place = _option(shape.name), f"field_{shape.name}"
    if shape.name in _FILES:
        parser.add_argument(option, dest=place, type=_file, metavar="FILE", help=text)
    elif _is_structure(shape):
        parser.add_argument(f"{option}-file", dest=place, type=_json_file, metavar="FILE", help=f"{text}; JSON in FILE")
    elif shape.kind == "boolean":
        if shape.default:
            off = option if option.startswith("--no-") else "--no-" + option[2:]
            parser.add_argument(
                off, dest=place, action="store_const", const=False, help=_LEFT_OFF.get(shape.name, f"not: {text}")
            )
        else:
            parser.add_argument(option, dest=place, action="store_const", const=True, help=text)
    elif shape.kind == "choice":
        values = {str(c): c for c in shape.marks.choices}
        convert = _one_of(values)
        parser.add_argument(option, dest=place, type=convert, metavar="|".join(values), help=text)
    elif shape.kind in ("integer", "number"):
        parser.add_argument(option, dest=place, type=_number, metavar="N", help=text)
    elif shape.kind == "map":
        parser.add_argument(
            option, dest=place, type=_pair, action="append", metavar="'K: V'", help=f"{text}; repeatable"
        )
    elif shape.kind == "list":
        text = f"{text}; repeatable, {option}=V for a V that begins with -"
        parser.add_argument(option, dest=place, action="append", metavar="V", help=text)
    elif shape.marks.hidden and shape.name != "proxy":
        parser.add_argument(
            f"{option}-file", dest=place, type=_secret_file, metavar="FILE", help=f"{text}, read from FILE"
        )
    else:
        parser.add_argument(option, dest=place, metavar=shape.name.upper(), help=text)


def _one_of(values: dict[str, Any]) -> Any:
    def convert(text: str) -> Any:
        if text not in values and text.upper() not in values:
            raise argparse.ArgumentTypeError(f"expected {' or '.join(values)}, found {text!r}")
        return values[text] if text in values else values[text.upper()]

    return convert


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, found {text!r}") from None


def _pair(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError(f"expected 'Name: value', found {text!r}")
    return name.strip(), value.strip()


def _file(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(1 << 20)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no text"
        raise argparse.ArgumentTypeError(f"expected a readable file, found {path!r}: {why}") from None


def _json_file(path: str) -> Any:
    try:
        return loads(sys.stdin.read((1 << 20) + 1) if path == "-" else _file(path))
    except Invalid as error:
        raise argparse.ArgumentTypeError(f"{path}: {error}") from None


def _secret_file(path: str) -> str:
    return sys.stdin.readline().rstrip("\r\n") if path == "-" else _file(path).rstrip("\r\n")


# --- from arguments to the target -----------------------------------------------------------------------------------


def _steps_in_order(name: str, words: Sequence[str]) -> list[str]:
    """For tcp, empty --send and --expect put in between, so that the two lists keep the order they were given in."""
    if name != "tcp":
        return list(words)
    made: list[str] = []
    open_send = False
    for word in words:
        option = word.partition("=")[0]
        if option == "--expect":
            made += [] if open_send else ["--send="]
            open_send = False
        elif option == "--send":
            made += ["--expect="] if open_send else []
            open_send = True
        made.append(word)
    return made


def _target_data(name: str, args: argparse.Namespace, shapes: Sequence[FieldShape]) -> dict[str, Any]:
    """The Target as plain data: the positional argument, and every option that was given."""
    data: dict[str, Any] = {}
    known = {s.name: s for s in shapes}
    title, positional = _positional(shapes)
    if title == "HOST:PORT":
        data["host"], port = _host_port(args.target, required=known["port"].required)
        if port is not None:
            data["port"] = port
    elif positional:
        data[positional] = args.target
    for shape in shapes:
        value = getattr(args, f"field_{shape.name}", None)
        if value is not None:
            data[shape.name] = dict(value) if shape.kind == "map" else value
    return data


def _host_port(text: str, *, required: bool) -> tuple[str, int | None]:
    host, colon, port = text.rpartition(":")
    bare = not colon or (":" in host and not host.startswith("["))
    if bare and not required:
        return text.strip("[]"), None
    if bare or not port.isascii() or not port.isdigit() or len(port) > 5 or not host:
        expected = "HOST:PORT, such as example.org:443 or [2001:db8::1]:443"
        raise Invalid(Problem("host", expected, found(text)))
    return (host[1:-1] if host.startswith("[") and host.endswith("]") else host), int(port)
