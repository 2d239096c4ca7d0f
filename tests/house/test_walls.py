"""What a module may touch: rules on the syntax tree that an import graph cannot say."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from house.source import Module, dotted, imports, modules

CONNECTS = {
    "open_connection", "open_unix_connection", "create_connection", "create_datagram_endpoint",
    "create_unix_connection", "sock_connect", "urlopen",
}  # fmt: skip
SOCKETS = {"socket.socket", "socket.create_connection", "socket.socketpair", "socket.fromfd"}
CLIENTS = ("httpx", "requests", "aiohttp", "urllib3", "urllib.request", "http.client", "smtplib", "ftplib", "telnetlib")
OUTSIDE_NET = {
    "app/port.py": "the listening socket",
    "cli/bench_target.py": "the name server that `tocsin bench engine` asks, listening on loopback",
    "app/examine_net.py": "tries which ICMP sockets this user may open, and sends nothing",
}
"""Files beside net/ that may hold a socket, and why."""


def _places(found: Callable[[ast.AST], bool], where: Callable[[Module], bool]) -> list[str]:
    def places() -> Iterator[str]:
        for module in modules():
            if where(module):
                for node in ast.walk(module.tree):
                    if found(node):
                        yield f"{module.name}:{node.lineno}"  # pyright: ignore[reportAttributeAccessIssue]

    return list(places())


def _connects(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = dotted(node.func)
    return called.rsplit(".", 1)[-1] in CONNECTS or called in SOCKETS


def test_only_net_opens_connections() -> None:
    assert _places(_connects, lambda m: m.room != "net" and m.name not in OUTSIDE_NET) == []


def test_no_other_http_or_mail_client_is_imported() -> None:
    wrong = [
        f"{m.name}: {name}"
        for m in modules()
        for name in imports(m.tree)
        if any(name == c or name.startswith(c + ".") for c in CLIENTS)
    ]
    assert wrong == []


def test_only_settings_reads_the_environment() -> None:
    def reads(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and dotted(node) in ("os.environ", "os.getenv", "os.environb")

    assert _places(reads, lambda m: m.name != "settings.py") == []


RUN_PROGRAMS = {
    "create_subprocess_exec", "create_subprocess_shell", "Popen", "posix_spawn", "posix_spawnp", "fork", "forkpty",
    "execv", "execve", "execvp", "execvpe", "spawnv", "spawnve", "popen",
}  # fmt: skip
MAY_RUN_PROGRAMS = {
    "checks/nagios.py": "plugins in the folder that the operator names",
    "cli/agent_install.py": "install.sh, on the host where somebody asks for that",
    "cli/bench_engine.py": "the target that `tocsin bench` measures against",
    "net/browser.py": "the one check's own process that drives Chromium",
    "net/icmp.py": "the system's ping, where no ICMP socket may be opened",
}
"""Files that start programs, and why."""


def test_few_start_programs() -> None:
    def starts(node: ast.AST) -> bool:
        if isinstance(node, ast.Import | ast.ImportFrom):
            return "subprocess" in imports(node)
        called = dotted(node.func) if isinstance(node, ast.Call) else ""
        return called.rsplit(".", 1)[-1] in RUN_PROGRAMS or called == "os.system"

    assert _places(starts, lambda m: m.name not in MAY_RUN_PROGRAMS) == []


WALL_CLOCK = {
    "clock.py": "the Clock itself",
    "net/tls.py": "a certificate's days left, when the caller names no time",
    "net/connect.py": "the same, at the handshake",
    "checks/_kafka.py": "the time that a record of ours carries: by it the cluster forgets the record",
    "net/icmp.py": "compared with the kernel's own stamps of arrival, which are wall time",
}


def test_the_wall_clock_is_read_in_few_places() -> None:
    """Loops and handlers hold a Clock or get `now`; so tests can move time."""
    reads = {
        "datetime.now",
        "datetime.utcnow",
        "datetime.today",
        "datetime.datetime.now",
        "time.time",
        "time.time_ns",
        "date.today",
    }

    def found(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and dotted(node) in reads

    assert _places(found, lambda m: m.name not in WALL_CLOCK and m.room != "cli") == []


def test_core_has_no_clock_and_no_chance() -> None:
    banned = {"time", "random", "secrets", "asyncio", "socket", "os", "logging", "threading", "subprocess", "structlog"}
    assert [f"{m.name}: {n}" for m in modules() if m.room == "core" for n in imports(m.tree) if n in banned] == []


SECRET_ENDINGS = ("token", "secret", "password", "signature", "digest", "_hash", "api_key", "mac")
COMPARED_OPENLY = {
    "net/icmp.py": {"token"},  # the bytes that an echo brings back in the open
    "web/pages/overview.py": {"signature"},
    "agent/settled.py": {"digest"},  # of what was set last, to see whether it changed
    "web/api/monitor_data.py": {"token"},  # what a writer sends, with what the same writer may read anyway
    **{  # a message that names many others
        name: {"digest"}
        for name in (
            "core/storm.py",
            "pipeline/afloat.py",
            "pipeline/sending.py",
            "pipeline/trouble.py",
            "store/outbox.py",
        )
    },
}
"""Names with such an ending that hold nothing secret, a file at a time."""


def _compares_a_secret(module: Module) -> list[str]:
    def secret(node: ast.AST) -> bool:
        name = dotted(node).rsplit(".", 1)[-1].lower()
        return bool(name) and name.endswith(SECRET_ENDINGS) and name not in COMPARED_OPENLY.get(module.name, set())

    def constant(node: ast.AST) -> bool:
        return isinstance(node, ast.Constant)

    found: list[str] = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
            sides = [node.left, *node.comparators]
            if any(secret(s) for s in sides) and not any(constant(s) for s in sides):
                found.append(f"{module.name}:{node.lineno}")
    return found


def test_secrets_are_compared_in_constant_time() -> None:
    assert [place for m in modules() for place in _compares_a_secret(m)] == []


def test_the_secret_rule_sees_what_it_should() -> None:
    bad = "def f(a, user):\n    return a == user.password_hash\n"
    good = "def f(a, user):\n    return user.password_hash == ''\n"
    assert _compares_a_secret(Module("x.py", bad, ast.parse(bad))) == ["x.py:2"]
    assert _compares_a_secret(Module("x.py", good, ast.parse(good))) == []


def test_kinds_are_strangers_to_each_other() -> None:
    wrong: list[str] = []
    for room in ("checks", "collectors", "notifiers"):
        kinds = {m.name.split("/")[1].removesuffix(".py") for m in modules() if m.room == room} - {"__init__"}
        for module in modules():
            if module.room == room and not module.name.endswith("__init__.py"):
                own = module.name.split("/")[1].removesuffix(".py")
                near = {f"tocsin.{room}.{k}" for k in kinds - {own} if not k.startswith("_")}
                wrong += [f"{module.name}: {name}" for name in imports(module.tree) if name in near]
    assert wrong == []


def test_only_routes_and_the_live_room_speak_asgi() -> None:
    said = ("http.response.start", "websocket.accept")
    found = _places(lambda n: isinstance(n, ast.Constant) and n.value in said, lambda m: m.room == "web")
    assert {place.split(":")[0] for place in found} == {"web/routes.py", "web/live.py"}


def test_errors_are_not_swallowed() -> None:
    """`except Exception: pass` hides what went wrong; a narrow type that is expected may be passed over."""

    def swallows(node: ast.AST) -> bool:
        if not isinstance(node, ast.ExceptHandler) or not all(isinstance(s, ast.Pass) for s in node.body):
            return False
        return node.type is None or dotted(node.type) in ("Exception", "BaseException")

    assert _places(swallows, lambda _: True) == []


def test_nothing_is_left_unfinished() -> None:
    def stub(node: ast.AST) -> bool:
        return isinstance(node, ast.Raise) and node.exc is not None and "NotImplementedError" in ast.dump(node.exc)

    assert _places(stub, lambda _: True) == []
