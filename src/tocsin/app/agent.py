"""`tocsin agent`: builds an agent's parts and runs them. It reaches no database server and no web framework."""

from __future__ import annotations

import asyncio
import gc
import signal
from contextlib import AsyncExitStack
from pathlib import Path

from tocsin import __version__, settings, telemetry
from tocsin.agent.agent import Agent
from tocsin.agent.config import AgentConfig, Given, folder_named, read_config
from tocsin.agent.disk import Disk, Hand
from tocsin.agent.identity import read_identity
from tocsin.agent.vitals import machine_mark
from tocsin.app import folder, port
from tocsin.app.local import local_of
from tocsin.app.memory import settle_memory, share_heaps
from tocsin.clock import Clock, SystemClock
from tocsin.errors import SettingsError
from tocsin.net import Net, systemd
from tocsin.net.egress import Egress
from tocsin.settings import Settings

log = telemetry.logger("tocsin.app")

STOP_S = 8.0


def configuration(given: Settings, file: Path | None = None) -> AgentConfig:
    """What the agent's file says (`file`, else the one TOCSIN_AGENT_CONFIG names, else none when there is none at the
    usual place), with the environment. Raises SettingsError."""
    named = file_of(given, file)
    said = Given(api_key=given["API_KEY"], server_url=given["SERVER_URL"], server_name=given["SERVER_NAME"])
    return read_config(named, said, settings.variable)


def file_of(given: Settings, file: Path | None = None) -> Path | None:
    """Where the agent's file is; None when none is named and there is none at the usual place."""
    named: Path = file or given["AGENT_CONFIG"]
    if file is None and given.sources["AGENT_CONFIG"] == "default" and not named.is_file():
        return None
    return named


def data_folder(given: Settings, config: AgentConfig) -> Path:
    """Where the agent keeps its things: the environment, then its file, then the usual place."""
    if given.sources["DATA_DIR"] == "default" and config.data_dir is not None:
        return config.data_dir
    return given.data_dir


def folder_anyway(given: Settings, file: Path | None = None) -> Path:
    """The same of a file with mistakes, as far as it can be read. Raises SettingsError."""
    at = file_of(given, file)
    named = None if at is None or given.sources["DATA_DIR"] != "default" else folder_named(at, settings.variable)
    return named or given.data_dir


async def start(given: Settings, file: Path | None = None, *, clock: Clock | None = None) -> Agent:
    """An agent that runs; `stop` ends it. Raises SettingsError when something stands in the way."""
    config = configuration(given, file)
    now = clock or SystemClock()
    data = folder.made(data_folder(given, config))
    async with AsyncExitStack() as closing:
        hand, disk = Hand(), Disk(data, machine_mark())
        closing.callback(hand.close)
        await hand.do(disk.open)
        closing.push_async_callback(hand.do, disk.close)
        net = Net(egress=Egress(given["EGRESS"]), local=local_of(given))
        closing.push_async_callback(net.close)
        agent = await Agent.build(config, data, (hand, disk), net, now)
        agent.smtp_url = given["SMTP_URL"]
        agent.read_again = lambda: configuration(given, file)
        if config.dashboard.enabled:
            await _show_page(agent, closing)
        await agent.start(read_identity(data))
        agent.closing = closing.pop_all()
        return agent
    raise AssertionError


async def _show_page(agent: Agent, closing: AsyncExitStack) -> None:
    """Open the local page. Raises SettingsError when its port cannot be had."""
    from tocsin.agent.dashboard import Dashboard

    part = agent.config.dashboard
    page = Dashboard(agent, port.bind(part.host, part.port, "dashboard: "))
    await page.start()
    closing.push_async_callback(page.stop)


def serve(given: Settings, file: Path | None = None) -> int:
    """Run the agent until SIGTERM or SIGINT; 0 after a graceful stop. SIGHUP reads its file again. Raises SettingsError."""
    config = configuration(given, file)
    level = config.log_level if given.sources["LOG_LEVEL"] == "default" and config.log_level else given["LOG_LEVEL"]
    telemetry.set_up_logging(level, json=given["LOG_FORMAT"] == "json")
    telemetry.count_nothing()
    share_heaps()
    with asyncio.Runner() as runner:
        return runner.run(_until_told(given, file))


async def _until_told(given: Settings, file: Path | None) -> int:
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    manager = settings.variable("NOTIFY_SOCKET")
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # until there is something to read again
    agent = await start(given, file)
    loop.add_signal_handler(signal.SIGHUP, _reload, agent, manager)
    print(f"\n  Tocsin {__version__} agent for {agent.name}, file {file or given['AGENT_CONFIG']}\n", flush=True)  # noqa: T201
    gc.enable()
    settle_memory()
    watching = asyncio.create_task(_feed(manager, settings.variable("WATCHDOG_USEC")), name="watchdog")
    systemd.notify(manager, systemd.READY, f"STATUS=watches {agent.name}")
    log.info("agent.started", version=__version__, host=agent.name)
    await told.wait()
    log.info("agent.stopping")
    systemd.notify(manager, systemd.STOPPING)
    watching.cancel()
    try:
        async with asyncio.timeout(STOP_S):
            await agent.stop()
    except TimeoutError:
        log.warning("agent.stopped_late")
    log.info("agent.stopped")
    return 0


def _reload(agent: Agent, manager: str | None) -> None:
    """Read the file again; a bad one changes nothing."""
    systemd.notify(manager, *systemd.reloading())
    try:
        agent.reload()
    except SettingsError as error:
        log.warning("agent.file_refused", reason=str(error))
    systemd.notify(manager, systemd.READY)


async def _feed(manager: str | None, limit_us: str | None) -> None:
    """Tell the service manager that this loop turns, twice as often as it asks for."""
    if manager is None or limit_us is None or not limit_us.isdigit():
        return
    while True:
        systemd.notify(manager, systemd.WATCHDOG)
        await asyncio.sleep(int(limit_us) / 2e6)
