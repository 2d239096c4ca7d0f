"""Registering with a certificate in place of the shared secret, over real TLS both ways; and a secret that is replaced."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes

from cluster.test_pages import visit
from cluster.test_people import HERE, people, signed_in
from cluster.test_registry import Stranger, counted, known, noticed, said
from hostile import Identity, issue
from instances import SECRET, Group, One
from tocsin.cluster.joining import NotTaken, Shows
from tocsin.cluster.proof import Accepts
from tocsin.errors import SettingsError
from tocsin.net import url as urls
from tocsin.net.kept import Kept
from tocsin.net.mutual import ask_for_certificates, client_pair
from tocsin.secret import Secret

OURS = issue("Watch Authority", authority=True, days=365)
OTHERS = issue("Some Authority", authority=True, days=365)


async def takes(group: Group, tmp_path: Path, *, secrets: tuple[Secret, ...] = ()) -> One:
    """An instance that takes certificates of our authority (and those secrets)."""
    (tmp_path / "ca.pem").write_text(OURS.pem)
    a = group.one("a")
    a.accepts, a.authorities = Accepts(secrets=secrets, certificates=True), tmp_path / "ca.pem"
    await group.gather("a")
    return a


def shows(identity: Identity, at: One) -> Shows:
    return Shows(certificate=(identity.pem, identity.key_pem), expects=at.fingerprint)


async def test_a_certificate_of_the_authority_lets_an_instance_in(group: Group, tmp_path: Path) -> None:
    a = await takes(group, tmp_path)
    mine, before = issue("b.example", by=OURS, days=20), counted("taken_in")
    await group.one("b").join(a.url, shows(mine, a))
    assert (await known(a), counted("taken_in") - before) == (["a", "b"], 1)
    found = await a.store.everything().read(lambda s: s.instances.get("instance-b"))
    assert found.certificate is not None
    assert (found.certificate.subject, found.certificate.issuer) == ("CN=b.example", "CN=Watch Authority")
    assert found.certificate.fingerprint == mine.cert.fingerprint(hashes.SHA256()).hex()
    assert dt.timedelta(days=19) < found.certificate.not_after - dt.datetime.now(dt.UTC) < dt.timedelta(days=21)


async def test_what_it_registered_with_is_shown(group: Group, tmp_path: Path) -> None:
    a = await takes(group, tmp_path)
    mine = issue("b.example", by=OURS)
    await group.one("b").join(a.url, shows(mine, a))
    await people(a)
    first, second = (await (await signed_in(a)).get(HERE)).data["items"]
    assert (first["certificate"], first["fingerprint"]) == (None, a.fingerprint)
    assert second["certificate"]["subject"] == "CN=b.example"
    assert second["certificate"]["fingerprint"] == mine.cert.fingerprint(hashes.SHA256()).hex()
    shown = await (await visit(a)).look()
    assert "certificate CN=b.example of CN=Watch Authority, SHA-256" in shown


@pytest.mark.parametrize(
    ("identity", "there", "here"),
    [
        (issue("b.example", by=OTHERS), "unable to get local issuer certificate", "unknown ca"),
        (issue("b.example"), "self-signed certificate", "unknown ca"),
        (issue("b.example", by=OURS, days=-1), "certificate has expired", "certificate expired"),
        (issue("b.example", by=OURS, from_days=5), "certificate is not yet valid", "bad certificate"),
    ],
    ids=["another authority", "its own", "expired", "not yet"],
)
async def test_a_certificate_that_is_not_accepted(
    group: Group, tmp_path: Path, identity: Identity, there: str, here: str
) -> None:
    """Refused in the handshake: the reason goes to who joins by TLS itself, and to the admins here."""
    a = await takes(group, tmp_path)
    before = counted("certificate")
    with pytest.raises(NotTaken, match=rf"TOCSIN_SYNC_CLIENT_CERT: .* does not accept the certificate .*{here}"):
        await group.one("b").join(a.url, shows(identity, a))
    text = await noticed(a, "a certificate that is not accepted")
    assert "127.0.0.1 showed" in text
    assert there in text
    assert counted("certificate") - before == 1
    assert await known(a) == ["a"]


async def test_without_a_certificate_nobody_registers_where_only_they_count(group: Group, tmp_path: Path) -> None:
    a = await takes(group, tmp_path)
    before = counted("certificate")
    with pytest.raises(NotTaken, match=r"TOCSIN_SYNC_SECRET: .* found that none is set there"):
        await group.one("b").join(a.url)
    x = Stranger(a)
    for more, words in (
        ({}, "which is not set"),
        ({"proof": None}, "TOCSIN_SYNC_CLIENT_CA here vouches for, found none"),
    ):
        reply = await x.ask("POST", "/sync/api/register", await x.registration(**more))
        assert (reply.status, words in said(reply)["detail"]) == (403, True), reply.body
    assert counted("certificate") - before == 1
    await noticed(a, "vouches for, found none")
    assert await known(a) == ["a"]
    x.close()


async def test_the_secret_counts_beside_certificates(group: Group, tmp_path: Path) -> None:
    a = await takes(group, tmp_path, secrets=(SECRET,))
    await group.one("b").join(a.url)
    await group.one("c").join(a.url, shows(issue("c.example", by=OURS), a))
    found = await a.store.everything().read(lambda s: s.instances.all())
    assert [None if one.certificate is None else one.certificate.subject for one in found] == [
        None,
        None,
        "CN=c.example",
    ]


async def test_who_answers_must_show_the_certificate_that_was_told(group: Group, tmp_path: Path) -> None:
    a = await takes(group, tmp_path)
    wrong = Shows(certificate=shows(issue("b.example", by=OURS), a).certificate, expects="0" * 64)
    with pytest.raises(NotTaken, match=rf"TOCSIN_PRIMARY_SYNC_FINGERPRINT: expected 0+ at .*, found {a.fingerprint}"):
        await group.one("b").join(a.url, wrong)
    assert await known(a) == ["a"]


async def test_a_certificate_does_not_speak_for_another_instance(group: Group, tmp_path: Path) -> None:
    a = await takes(group, tmp_path, secrets=(SECRET,))
    await group.one("b").join(a.url, shows(issue("b.example", by=OURS), a))
    await group.one("c").join(a.url)
    mallory = issue("mallory.example", by=OURS)
    x = Stranger(a)
    kept = Kept(a.net, urls.parse(a.url), pin=a.fingerprint, shows=(mallory.pem, mallory.key_pem))
    x._kept.close()
    x._kept = kept
    for id, first in (("instance-b", "CN=b.example"), ("instance-c", "the shared secret")):
        reply = await x.ask("POST", "/sync/api/register", await x.registration(instanceId=id, proof=None))
        assert reply.status == 403
        assert f"registered with first, {first}, found CN=mallory.example" in said(reply)["detail"]
    assert {i.name for i in await a.store.everything().read(lambda s: s.instances.all())} == {"a", "b", "c"}
    kept.close()


async def test_a_renewed_certificate_of_the_same_subject_is_the_same_instance(group: Group, tmp_path: Path) -> None:
    a = await takes(group, tmp_path)
    b = group.one("b")
    await b.join(a.url, shows(issue("b.example", by=OURS), a))
    renewed = issue("b.example", by=OURS)
    x = Stranger(a)
    x._kept.close()
    x._kept = Kept(a.net, urls.parse(a.url), pin=a.fingerprint, shows=(renewed.pem, renewed.key_pem))
    asked = await x.registration(instanceId="instance-b", instanceName="b", location="b", proof=None)
    assert (await x.ask("POST", "/sync/api/register", asked)).status == 200
    found = await a.store.everything().read(lambda s: s.instances.get("instance-b"))
    assert found.certificate is not None
    assert found.certificate.fingerprint == renewed.cert.fingerprint(hashes.SHA256()).hex()
    x.close()


async def test_where_no_certificates_are_taken_one_is_no_proof(group: Group) -> None:
    (a,) = await group.gather("a")
    with pytest.raises(NotTaken, match="certificates are not taken here"):
        await group.one("b").join(a.url, shows(issue("b.example", by=OURS), a))


async def test_a_secret_is_replaced_while_both_count(group: Group) -> None:
    new, third = Secret("the new secret of these tests"), Secret("a third one, which nobody set")
    a = group.one("a")
    a.accepts = Accepts(secrets=(new, SECRET))
    await group.gather("a")
    await group.one("b").join(a.url, SECRET)  # it has the one before yet
    await group.one("c").join(a.url, new)
    await group.one("d").join(a.url, Shows(secrets=(third, new)))  # it is ahead
    assert await known(a) == ["a", "b", "c", "d"]
    with pytest.raises(NotTaken, match="found another one there"):
        await group.one("e").join(a.url, third)
    x = Stranger(a)
    reply = await x.ask("POST", "/sync/api/register", await x.registration(third))
    assert (reply.status, "found another one" in said(reply)["detail"]) == (403, True)
    x.close()


def test_files_that_are_no_certificates(tmp_path: Path) -> None:
    context, mine = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), issue("b.example", by=OURS)
    (tmp_path / "nonsense.pem").write_text("nonsense")
    (tmp_path / "cert.pem").write_text(mine.pem)
    (tmp_path / "key.pem").write_text(OTHERS.key_pem)
    for file in ("nonsense.pem", "missing.pem"):
        with pytest.raises(SettingsError, match="expected certificates of authorities in PEM, found"):
            ask_for_certificates(context, tmp_path / file, lambda address, why: None)
    for cert, key in (("nonsense.pem", None), ("missing.pem", None), ("cert.pem", None), ("cert.pem", "key.pem")):
        with pytest.raises(SettingsError, match="expected a certificate and its key in PEM, found"):
            client_pair(tmp_path / cert, None if key is None else tmp_path / key)
