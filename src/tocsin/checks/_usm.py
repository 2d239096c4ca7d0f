"""Message security of SNMPv3 (the user-based model): RFC 3412 and 3414, AES by RFC 3826, SHA-2 by RFC 7860."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from tocsin.core import ber, snmp
from tocsin.core.ber import BrokenBer, Element

# The name in hashlib, and how many bytes of a digest go along.
AUTHENTICATION = {
    "md5": ("md5", 12), "sha1": ("sha1", 12), "sha224": ("sha224", 16), "sha256": ("sha256", 24),
    "sha384": ("sha384", 32), "sha512": ("sha512", 48),
}  # fmt: skip
_REPORTABLE, _PRIVATE, _AUTHENTIC = 4, 2, 1
_USER_MODEL = 3
_MEGABYTE = 1 << 20
_MOST = 65_507
REPORTS = {
    "1.3.6.1.6.3.15.1.1.1.0": "the agent does not let this user in at this level of security",
    "1.3.6.1.6.3.15.1.1.2.0": "the agent's clock and ours for it do not agree",
    "1.3.6.1.6.3.15.1.1.3.0": "the agent does not know the user",
    "1.3.6.1.6.3.15.1.1.4.0": "the agent does not know its own engine",
    "1.3.6.1.6.3.15.1.1.5.0": "the password, or the way to authenticate, is wrong",
    "1.3.6.1.6.3.15.1.1.6.0": "the password for privacy, or the way to encrypt, is wrong",
}
NOT_IN_TIME = "1.3.6.1.6.3.15.1.1.2.0"  # among them


@dataclass(slots=True)
class Engine:
    """The agent as it was found out: its id, how often it was started, and its seconds since."""

    id: bytes = b""
    boots: int = 0
    time: int = 0


@dataclass(slots=True, kw_only=True)
class Security:
    """A user, how messages are made authentic and private, and the keys for the engine that is talked to."""

    user: str
    authentication: str | None = None
    privacy: str | None = None
    context: str = ""
    engine: Engine = field(default_factory=Engine)
    _auth_key: bytes = field(default=b"", repr=False)
    _privacy_key: bytes = field(default=b"", repr=False)

    async def make_keys(self, password: str | None, privacy_password: str | None) -> None:
        """Turn the passwords into keys for the engine: a megabyte is hashed for each, so not in the loop."""
        if self.authentication is not None and password is not None:
            self._auth_key = await asyncio.to_thread(_key, self.authentication, password, self.engine.id)
            if self.privacy is not None and privacy_password is not None:
                self._privacy_key = await asyncio.to_thread(_key, self.authentication, privacy_password, self.engine.id)

    def seal(self, number: int, pdu: bytes) -> bytes:
        """A whole message around the PDU; before the keys are made, one that only asks who the engine is."""
        flags = _REPORTABLE | (_AUTHENTIC if self._auth_key else 0) | (_PRIVATE if self._privacy_key else 0)
        head = ber.encode(
            ber.SEQUENCE, ber.integer(number), ber.integer(_MOST), ber.octets(bytes((flags,))), ber.integer(_USER_MODEL)
        )
        data = ber.encode(ber.SEQUENCE, ber.octets(self.engine.id), ber.octets(self.context), pdu)
        salt = b""
        if self._privacy_key:
            salt = secrets.token_bytes(8)
            data = ber.octets(self._encrypted(data, salt))
        if not self._auth_key:
            return self._whole(head, b"", salt, data)
        zeros = bytes(AUTHENTICATION[self.authentication or ""][1])
        return self._whole(head, self._digest(self._whole(head, zeros, salt, data)), salt, data)

    def _whole(self, head: bytes, digest: bytes, salt: bytes, data: bytes) -> bytes:
        """The message of these parts."""
        engine = self.engine
        parameters = ber.encode(
            ber.SEQUENCE,
            ber.octets(engine.id),
            ber.integer(engine.boots),
            ber.integer(engine.time),
            ber.octets(self.user if engine.id else ""),
            ber.octets(digest),
            ber.octets(salt),
        )
        return ber.encode(ber.SEQUENCE, ber.integer(3), head, ber.octets(parameters), data)

    def open(self, wire: bytes, number: int) -> Element:
        """The PDU of an answer to that message. Raises BrokenBer, also when it is not authentic though it should be. A
        report of trouble is taken as it is; what it says of the engine is taken over."""
        version, head, parameters, data = ber.expect(ber.read(wire)[0], ber.SEQUENCE, "a message").parts(4)[:4]
        if version.number() != 3:
            raise BrokenBer("version 3 expected, another one found")
        answers, _, flags, model = head.parts(4)[:4]
        if answers.number() != number or model.number() != _USER_MODEL or len(flags.content) != 1:
            raise BrokenBer("an answer to another message")
        engine, boots, time, _, digest, salt = ber.read(parameters.content)[0].parts(6)[:6]
        authentic = bool(flags.content[0] & _AUTHENTIC)
        if authentic and not (self._auth_key and self._is_authentic(wire, digest.content)):
            raise BrokenBer("an answer that is not authentic")
        now = Engine(engine.content, boots.number(), time.number())
        if flags.content[0] & _PRIVATE:
            hidden = ber.expect(data, ber.OCTETS, "encrypted data").content
            data = ber.read(self._decrypted(hidden, salt.content, now))[0]
        pdu = ber.expect(data, ber.SEQUENCE, "a scoped PDU").parts(3)[2]
        if self._auth_key and not authentic and pdu.tag != snmp.REPORT:
            raise BrokenBer("an answer that is not authentic")
        self.engine = now
        return pdu

    def _digest(self, wire: bytes) -> bytes:
        assert self.authentication is not None
        name, size = AUTHENTICATION[self.authentication]
        return hmac.digest(self._auth_key, wire, name)[:size]

    def _is_authentic(self, wire: bytes, digest: bytes) -> bool:
        """Whether the digest fits the message with zeros in its place."""
        end = _end_of_digest(wire)
        start = end - len(digest)
        zeroed = wire[:start] + bytes(len(digest)) + wire[end:]
        return hmac.compare_digest(self._digest(zeroed), digest)

    def _encrypted(self, data: bytes, salt: bytes) -> bytes:
        if self.privacy == "aes":
            return _aes(self._privacy_key, self.engine, salt, data, decrypt=False)
        return _des(self._privacy_key, salt, data + bytes(-len(data) % 8), decrypt=False)

    def _decrypted(self, data: bytes, salt: bytes, engine: Engine) -> bytes:
        if not self._privacy_key or len(salt) != 8 or len(data) > _MOST:
            raise BrokenBer("an answer that is encrypted in another way than ours")
        if self.privacy == "aes":
            return _aes(self._privacy_key, engine, salt, data, decrypt=True)
        if len(data) % 8:
            raise BrokenBer("encrypted data that is cut")
        return _des(self._privacy_key, salt, data, decrypt=True)


def _end_of_digest(wire: bytes) -> int:
    """Where the digest ends in a message that could be read as one."""
    _, at = ber.length_of(wire[1:6])
    at += 1
    for _ in range(2):  # version, head
        at = ber.read(wire, at)[1]
    for _ in range(2):  # into the octets of the parameters, into their sequence
        at += 1 + ber.length_of(wire[at + 1 : at + 6])[1]
    for _ in range(5):  # engine, boots, time, user, digest
        at = ber.read(wire, at)[1]
    return at


def _key(authentication: str, password: str, engine: bytes) -> bytes:
    """A password's key for one engine (RFC 3414, A.2)."""
    name, _ = AUTHENTICATION[authentication]
    word = password.encode()
    stretched = hashlib.new(name, (word * (_MEGABYTE // len(word) + 1))[:_MEGABYTE], usedforsecurity=False).digest()
    return hashlib.new(name, stretched + engine + stretched, usedforsecurity=False).digest()


def _aes(key: bytes, engine: Engine, salt: bytes, data: bytes, *, decrypt: bool) -> bytes:
    """AES-128 in CFB (RFC 3826), whole blocks fed back, written out here: cryptography is giving that mode up."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    try:
        before = engine.boots.to_bytes(4, "big") + engine.time.to_bytes(4, "big") + salt
    except OverflowError:
        raise BrokenBer("an engine whose clock is not of this world") from None
    block = Cipher(algorithms.AES(key[:16]), modes.ECB()).encryptor()  # noqa: S305 - the building block of CFB
    made = bytearray()
    for at in range(0, len(data), 16):
        piece = data[at : at + 16]
        done = bytes(a ^ b for a, b in zip(piece, block.update(before), strict=False))
        made += done
        before = piece if decrypt else done
    return bytes(made)


def _des(key: bytes, salt: bytes, data: bytes, *, decrypt: bool) -> bytes:
    """DES in CBC (RFC 3414), which old devices have: as a triple one with three times the same key."""
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
    from cryptography.hazmat.primitives.ciphers import Cipher, modes

    start = bytes(a ^ b for a, b in zip(salt, key[8:16], strict=True))
    cipher = Cipher(TripleDES(key[:8] * 3), modes.CBC(start))
    return (cipher.decryptor() if decrypt else cipher.encryptor()).update(data)
