"""The local page: it can be read, by whom it should, and shows nothing secret."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from agent.center import KEY, Host, agent, center
from builders import until
from daemon import free_port


async def ask(port: int, head: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{head}\r\nConnection: close\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    return int(answer.split()[1]), answer


async def test_the_page(tmp_path: Path) -> None:
    host, port = Host(tmp_path), free_port()
    async with center() as server:
        host.writes(server.url, more=f"dashboard: {{enabled: true, port: {port}}}")
        host.sees(20, services={"<b>nginx</b>": "failed"})
        async with agent(host):
            await until(lambda: bool(server.findings))
            status, page = await ask(port, f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}")
            assert status == 200
            assert "too high" in page
            assert "unit/&lt;b&gt;nginx&lt;/b&gt;" in page
            assert "<b>" not in page
            assert "<th></th>" not in page
            assert "overflow-wrap:anywhere" in page  # a long series widens no phone
            host.sees(1_609_730.4)
            while '<td class="">1,609,730</td>' not in page:
                status, page = await ask(port, f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}")
                await asyncio.sleep(0.1)
            assert KEY not in page
            assert "key-1" not in page
            policy = re.search(r"content-security-policy: (.*)\r", page)
            assert policy is not None
            assert policy[1].startswith("default-src 'none'; style-src 'sha256-")
            status, said = await ask(port, f"GET /status.json HTTP/1.1\r\nHost: localhost:{port}")
            assert (status, '"firing"' in said, KEY in said) == (200, True, False)
            for head, expected in (
                ("GET / HTTP/1.1\r\nHost: evil.example", 421),
                (f"GET / HTTP/1.1\r\nHost: evil.example:{port}", 421),
                (f"POST / HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: 0", 405),
                (f"GET /agent.json HTTP/1.1\r\nHost: localhost:{port}", 404),
                (f"GET /../agent.json HTTP/1.1\r\nHost: localhost:{port}", 404),
            ):
                assert (await ask(port, head))[0] == expected, head


def test_a_port_that_is_taken_stops_the_start(tmp_path: Path) -> None:
    import socket

    host = Host(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        host.writes("http://127.0.0.1:9", more=f"dashboard: {{enabled: true, port: {taken.getsockname()[1]}}}")
        code, _, error = host.does("run")
    assert code == 2
    assert "expected a free port" in error
