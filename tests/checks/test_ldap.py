"""ldap: a real OpenLDAP of the test's own, and servers that break the protocol."""

# ruff: noqa: E501

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checks.looking import look, why
from hostile import Talk, authority, issue, refused_port, serving
from hostile.sound import LDAP_ENTRY as ENTRY
from hostile.sound import ldap_message as message
from hostile.sound import ldap_result as ended
from needs import program, require
from tocsin.checks.ldap import Target
from tocsin.core import ber
from tocsin.core.result import Outcome
from tocsin.core.shape import read
from tocsin.errors import Invalid

PEOPLE = "ou=people,dc=example,dc=org"
ALICE = f"uid=alice,{PEOPLE}"
LDIF = f"""
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: {PEOPLE}
objectClass: organizationalUnit
ou: people

dn: {ALICE}
objectClass: inetOrgPerson
uid: alice
cn: Alice (the first)
sn: One
userPassword: s3cret

dn: uid=bob,{PEOPLE}
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: Two
"""


def configuration(folder: Path) -> str:
    """slapd.conf with a small database below the folder."""
    identity = issue("127.0.0.1", by=authority())
    for name, text in (
        ("cert.pem", identity.pem),
        ("key.pem", identity.key_pem),
        ("ca.pem", authority().pem),
        ("people.ldif", LDIF),
    ):
        (folder / name).write_text(text)
    (folder / "data").mkdir()
    schemas = "\n".join(f"include /etc/ldap/schema/{name}.schema" for name in ("core", "cosine", "inetorgperson"))
    return f"""{schemas}
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/cert.pem
TLSCertificateKeyFile {folder}/key.pem
database mdb
maxsize 16777216
suffix "dc=example,dc=org"
directory {folder}/data
access to attrs=userPassword by anonymous auth
access to dn.subtree="{PEOPLE}" by users read by anonymous auth
access to * by * read
"""


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """A directory of our own: its port, and its port for TLS from the start."""
    require("slapd", Path("/etc/ldap/schema/core.schema").is_file())
    folder = tmp_path_factory.mktemp("slapd")
    conf = folder / "slapd.conf"
    conf.write_text(configuration(folder))
    subprocess.run(
        [program("slapadd"), "-f", str(conf), "-l", str(folder / "people.ldif")], check=True, capture_output=True
    )
    plain, secure = refused_port(), refused_port()
    where = f"ldap://127.0.0.1:{plain} ldaps://127.0.0.1:{secure}"
    server = subprocess.Popen([program("slapd"), "-d", "0", "-h", where, "-f", str(conf)], stdout=-3, stderr=-3)
    try:
        until = time.monotonic() + 20
        while not _listens(plain, secure):
            assert server.poll() is None, "slapd has ended"
            assert time.monotonic() < until, "slapd does not listen"
            time.sleep(0.02)
        yield plain, secure
    finally:
        server.terminate()
        server.wait(20)


def _listens(*ports: int) -> bool:
    for port in ports:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)):
                return False
    return True


async def see(port: int, **more: Any) -> Outcome:
    return await look("ldap", host="127.0.0.1", port=port, **more)


async def test_the_servers_own_entry(ports: tuple[int, int]):
    outcome = await see(ports[0])
    assert why(outcome) == ("up", "", None)
    assert outcome.seen.facts["naming_contexts"] == ["dc=example,dc=org"]
    assert outcome.seen.facts["versions"] == ["3"]
    assert outcome.seen.timing.ttfb is not None
    assert outcome.seen.tls is None


async def test_sign_in_and_search(ports: tuple[int, int]):
    target: dict[str, Any] = {"user": ALICE, "password": "s3cret", "base": PEOPLE}
    outcome = await see(ports[0], **target)
    assert why(outcome) == ("up", "", None)
    assert outcome.seen.facts == {"signed_in": True, "entries": 3}
    assert (await see(ports[0], **target, scope="base")).seen.facts["entries"] == 1
    assert (await see(ports[0], **target, scope="one")).seen.facts["entries"] == 2
    few = await see(ports[0], **target, scope="one", min_entries=3)
    assert why(few)[:2] == ("down", "assertion")
    assert "expected at least 3 entries, found 2" in str(few.error)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("(uid=alice)", 1), ("(uid=*)", 2), ("(&(objectClass=inetOrgPerson)(!(uid=bob)))", 1), ("(|(uid=bob)(uid=alice)(uid=carol))", 2),
        ("(cn=Al*fir*)", 1), (r"(cn=Alice \28the first\29)", 1), ("(cn=*b)", 1), ("(sn~=One)", 1), ("(uid:caseIgnoreMatch:=ALICE)", 1),
        ("(ou:dn:=people)", 3), ("(nosuch=1)", 0),
    ],
)  # fmt: skip
async def test_filters_mean_to_the_server_what_they_say(ports: tuple[int, int], text: str, count: int):
    outcome = await see(ports[0], user=ALICE, password="s3cret", base=PEOPLE, filter=text, min_entries=0)
    assert why(outcome) == ("up", "", None), outcome.error
    assert outcome.seen.facts["entries"] == count


@pytest.mark.parametrize(
    ("target", "type_", "says"),
    [
        ({"user": ALICE, "password": "hunter2"}, "protocol", "did not let the user in: invalid credentials (49)"),
        ({"user": "no dn", "password": "hunter2"}, "protocol", "invalid DN syntax (34)"),
        ({"base": "dc=example,dc=com"}, "assertion", "the base of the search is not there: no such object (32)"),
        ({"base": "ou=nope,dc=example,dc=org"}, "assertion", "the base of the search is not there"),
        ({"base": PEOPLE}, "protocol", "the search failed: insufficient access rights (50)"),
        ({"base": "dc=example,dc=org", "filter": "(uid=alice)"}, "assertion", "expected at least 1 entries, found 0"),
    ],
)  # fmt: skip
async def test_what_is_refused_or_not_found(ports: tuple[int, int], target: dict[str, Any], type_: str, says: str):
    outcome = await see(ports[0], **target)
    assert why(outcome)[:2] == ("down", type_)
    assert outcome.error is not None
    assert says in outcome.error.message
    assert "hunter2" not in str(outcome)


async def test_tls_and_starttls(ports: tuple[int, int]):
    target: dict[str, Any] = {"user": ALICE, "password": "s3cret", "base": PEOPLE, "ca_file": authority().pem}
    rules = [{"type": "certificate_days", "op": "gt", "value": 0}]
    for port, way in ((ports[1], "tls"), (ports[0], "starttls")):
        outcome = await see(port, **target, **{way: True}, rules=rules)
        assert why(outcome) == ("up", "", None), outcome.error
        assert outcome.seen.tls is not None
        assert outcome.seen.tls.verified
        assert why(await see(port, **{way: True})) == ("down", "tls", "tls")


BOUND, DONE = ended(0, tag=0x61), ended(0)


@pytest.mark.parametrize(
    ("said", "type_", "says"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "protocol", "expected an LDAP message"), (b"", "protocol", "ended in the middle"), (message(2, DONE)[:5], "protocol", "ended in the middle"),
        (b"\x30\x84\xff\xff\xff\xff", "protocol", "message of 4294967295 bytes"), (b"\x30\x80", "protocol", "no LDAP: a length"), (b"\x30\x88" + b"\xff" * 8, "protocol", "no LDAP: a length"),
        (b"\x30\x00", "protocol", "2 parts expected, 0 found"), (b"\x30\x05\x02\x01\x02\x65\x7f", "protocol", "ends in the middle of a value"), (message(7, DONE), "protocol", "an answer to request 7"),
        (message(2, BOUND), "protocol", "an entry or the end of the search expected, tag 0x61"), (message(2, ber.encode(0x65)), "protocol", "3 parts expected, 0 found"),
        (message(2, ended(51, "later\x1b[0m")), "protocol", "the search failed: busy (51): later\\u001b[0m"), (message(2, ended(99)), "protocol", "result (99)"),
        (message(2, DONE), "protocol", "does not show its own entry"), (message(2, ended(10)), "protocol", "on another server"),
        (message(0, ended(52, "going down", 0x78)), "protocol", "the server ends the session: unavailable (52): going down"),
        (message(2, ENTRY) * 1001, "protocol", "more entries than the 1000"), (message(2, ber.encode(0x73)) * 3001, "protocol", "no end"),
        (message(2, ber.encode(0x64, ber.octets(""), ber.encode(0x30, ber.encode(0x30, ber.octets("a"))))), "protocol", "2 parts expected, 1 found"),
        (message(2, ber.encode(0x65, b"\x0a\x40" + b"\x01" * 64, b"\x04\0", b"\x04\0")), "protocol", "a number of 64 bytes"),
        (b"\x30\x82\xff\xf0" + b"\x30\x82\xff\xf0" * 16380, "protocol", "no LDAP"),
    ],
)  # fmt: skip
async def test_servers_that_go_wrong(said: bytes, type_: str, says: str):
    async def script(talk: Talk) -> None:
        await talk.reader.read(10)
        await talk.send(said)
        talk.writer.write_eof()
        await talk.hang()

    async with serving(script, read=False) as server:
        outcome = await see(server.port)
    assert why(outcome)[:2] == ("down", type_)
    assert outcome.error is not None
    assert says in outcome.error.message


async def test_more_than_the_limit_is_no_failure():
    async def script(talk: Talk) -> None:
        await talk.reader.read(10)
        await talk.send(message(2, ENTRY) * 5 + message(2, ended(4)))
        await talk.hang()

    async with serving(script, read=False) as server:
        outcome = await see(server.port, base="dc=x")
        assert outcome.seen.facts == {"entries": 5, "more": True}
        assert outcome.status == "up"
        assert (await see(server.port, base="dc=x", min_entries=6)).status == "down"


async def test_a_wrong_answer_to_the_sign_in_and_no_starttls():
    async def script(talk: Talk) -> None:
        asked = await talk.reader.read(1000)
        number = 1 if b"1.3.6.1.4.1.1466" in asked else 2
        await talk.send(message(number, DONE if number == 2 else ended(2, "", 0x78)))
        await talk.hang()

    async with serving(script, read=False) as server:
        outcome = await see(server.port, user="cn=a", password="hunter2")
        assert why(outcome)[:2] == ("down", "protocol")
        assert "answer to the sign-in expected" in str(outcome.error)
        assert "success to StartTLS" in str((await see(server.port, starttls=True)).error)


async def test_nobody_and_silence():
    assert why(await see(refused_port()))[1] == "connection_refused"

    async def quiet(talk: Talk) -> None:
        await talk.hang()

    async with serving(quiet, read=False) as server:
        assert why(await see(server.port, timeout_s=0.3)) == ("down", "timeout", "ttfb")


async def test_a_password_stays_off_open_wires(monkeypatch: pytest.MonkeyPatch):
    """A far machine is not to be had here, so one on another address of this machine is taken for one."""
    heard: list[bytes] = []

    async def script(talk: Talk) -> None:
        heard.append(await talk.reader.read(1000))

    monkeypatch.setattr("ipaddress.IPv4Address.is_loopback", property(lambda self: str(self) != "127.0.0.2"))
    async with serving(script, read=False, host="127.0.0.2") as server:
        outcome = await look("ldap", host="127.0.0.2", port=server.port, user="cn=a", password="s3cret")
    assert why(outcome) == ("down", "protocol", "send")
    assert heard in ([], [b""])


@pytest.mark.parametrize(
    ("data", "field"),
    [({"user": "cn=a"}, "password"), ({"password": "a"}, "user"), ({"starttls": True, "tls": True}, "starttls"), ({"filter": "uid=a"}, "filter"), ({"scope": "all"}, "scope"), ({"min_entries": 1001}, "min_entries")],
)  # fmt: skip
def test_targets_that_are_refused(data: dict[str, Any], field: str):
    with pytest.raises(Invalid) as caught:
        read(Target, {"host": "a", **data})
    assert [p.field for p in caught.value.problems] == [field]
