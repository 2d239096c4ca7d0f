"""The door of a cluster: who may register, and whose token holds. Nothing is half registered: the row, the token and the
answer go together, and membership follows from the rows."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

import msgspec

from tocsin import __version__, telemetry
from tocsin.clock import Clock
from tocsin.cluster import proof, wire
from tocsin.cluster.carrier import Carrier
from tocsin.cluster.proof import Accepts, Claims
from tocsin.cluster.wire import Hello, Offer, Peer, Permission, Registered, Registration, Renewed, Welcome
from tocsin.core.instance import Certificate, Instance, must_name_its_place
from tocsin.core.membership import Change, Member
from tocsin.core.result import iso
from tocsin.errors import Conflict, Denied, NotPrimary, Outcast
from tocsin.store import Store
from tocsin.store.session import Session

log = telemetry.logger("tocsin.cluster")

T = TypeVar("T")
NONCE_S = 60.0
MOST_NONCES = 1000
MAY: tuple[Permission, ...] = ("sync", "report", "results")


class Registry:
    """Of one instance; only the primary takes others in."""

    def __init__(
        self, store: Store, carrier: Carrier, me: Instance, accepts: Accepts, cluster_key: bytes, clock: Clock
    ) -> None:
        self._store, self._carrier, self._me = store, carrier, me
        self._accepts, self._key, self._clock = accepts, cluster_key, clock
        self._nonces: dict[str, float] = {}
        self.known: tuple[Instance, ...] = ()
        """Every registered instance, by failover order: as they were read when one of them was last written."""
        self.changed: Callable[[], Awaitable[None]] = _nothing
        self.refused: Callable[[str, str], None] = lambda cause, text: None

    # Registration ----------------------------------------------------------------------------------------------------
    def hello(self, asked: Hello) -> Welcome:
        """What shows the joining side that it is right here. Denied where nobody can register."""
        if not (self._accepts.secrets or self._accepts.certificates):
            raise Denied("neither TOCSIN_SYNC_SECRET nor TOCSIN_SYNC_CLIENT_CA is set here: nobody can register")
        must_understand(asked.wire)
        now = self._clock.monotonic()
        self._nonces = {nonce: until for nonce, until in self._nonces.items() if until > now}
        if len(self._nonces) >= MOST_NONCES:
            raise Conflict("too many instances want to register at once: try again in a minute")
        nonce = secrets.token_urlsafe(16)
        self._nonces[nonce] = now + NONCE_S
        made = [proof.of_server(secret, asked.nonce, nonce, self._me.fingerprint) for secret in self._accepts.secrets]
        return Welcome(nonce=nonce, proof=made[0] if made else None, before=made[1] if len(made) > 1 else None)

    async def register(self, asked: Registration, client: str, shown: Certificate | None = None) -> Registered:
        """Take an instance in, or give one that is in a new token. `shown`: the certificate that the connection was opened
        with. Denied for a wrong or repeated proof, or without any, Conflict for a name or location that another one has,
        NotPrimary elsewhere."""
        self.must_be_proved(asked, client, shown)
        certificate = shown if asked.proof is None else None
        if not self._carrier.standing.leads:
            raise NotPrimary(primary=self._carrier.primary_url())
        self.must_be_another(asked, client)
        now = self._clock.now()
        self.must_be_its_certificate(asked, client, certificate)
        instance = _instance_of(asked, certificate, now)
        token, claims = proof.token(self._key, asked.instanceId, MAY, now)
        until = datetime.fromtimestamp(claims.expires_at, UTC)
        try:
            await self._keep(instance, proof.hash_of(claims.id), until)
        except Conflict:
            telemetry.registrations.labels("taken").inc()
            raise
        telemetry.registrations.labels("taken_in").inc()
        await self.changed()
        how = "secret" if certificate is None else certificate.subject
        log.info("cluster.registered", instance=instance.id, name=instance.name, location=instance.location, by=how)
        peers = self.peers()
        return Registered(
            instanceId=instance.id, token=token, expiresAt=iso(until) or "", permissions=MAY, clusterKey=self._key,
            primary=self._me.id, peers=peers, urls=tuple(peer.url for peer in peers if peer.url),
        )  # fmt: skip

    def must_be_another(self, asked: Registration | Offer, client: str) -> None:
        """Denied for who has this instance's identity."""
        if asked.instanceId == self._me.id:
            words = "expected another instance, found one with this one's identity: its data folder is a copy"
            self._refuse("clone", asked, client, words)

    def must_be_proved(self, asked: Registration | Offer, client: str, shown: Certificate | None) -> None:
        """Denied for who shows neither that it knows the shared secret, nor a certificate that is taken."""
        must_understand(asked.wire)
        if self._nonces.pop(asked.nonce, 0.0) <= self._clock.monotonic():
            words = "expected the number this instance gave out a minute ago at most, found another"
            self._refuse("nonce", asked, client, words)
        if asked.proof is None:
            if shown is None:
                self._refuse("certificate", asked, client, self._no_proof())
            return
        secrets = self._accepts.secrets
        if not any(proof.same(asked.proof, proof.of_joiner(secret, asked)) for secret in secrets):
            found = "found another one" if secrets else "which is not set"
            self._refuse("secret", asked, client, f"expected TOCSIN_SYNC_SECRET as it is set here, {found}")

    def _no_proof(self) -> str:
        if not self._accepts.certificates:
            return "expected a proof made with TOCSIN_SYNC_SECRET, found none; certificates are not taken here"
        also = ", or a proof made with TOCSIN_SYNC_SECRET" if self._accepts.secrets else ""
        return f"expected a certificate that TOCSIN_SYNC_CLIENT_CA here vouches for{also}, found none"

    def must_be_its_certificate(self, asked: Registration | Offer, client: str, shown: Certificate | None) -> None:
        """A certificate speaks for the instance it first registered, and for new ones; not for another's identity."""
        before = self.find(asked.instanceId)
        if before is None or shown is None:
            return
        first = before.certificate.subject if before.certificate is not None else "the shared secret"
        if first != shown.subject:
            words = f"expected what instance {before.name} registered with first, {first}, found {shown.subject}"
            self._refuse("certificate", asked, client, words)

    def not_accepted(self, client: str, why: str) -> None:
        """Somebody opened a connection with a certificate that is not accepted: counted, and told."""
        telemetry.registrations.labels("certificate").inc()
        log.warning("cluster.certificate_refused", address=client, why=why)
        self.refused("certificate", f"{client} showed the sync API a certificate that is not accepted: {why}")

    async def _keep(self, instance: Instance, token_hash: str, until: datetime) -> None:
        """The row and its token, both or none. Conflict when another instance has its name or location."""

        def work(s: Session) -> None:
            before = next((one for one in s.instances.all() if one.id == instance.id), None)
            wrong = must_name_its_place(instance.location)
            if wrong is not None and (before is None or before.location != instance.location):
                raise Conflict(f"location: {wrong}")
            if instance.location == self._me.location:
                raise Conflict(
                    f"location: expected a code of its own, found {instance.location!r}, which is the primary's"
                )
            if instance.location in {probe.code for probe in s.probes.list()}:
                raise Conflict(f"location: expected a code of its own, found {instance.location!r}, which a probe has")
            s.instances.put(
                instance if before is None else msgspec.structs.replace(instance, created_at=before.created_at)
            )
            s.instances.add_token(instance.id, token_hash, until)

        await self._store.everything(by=f"instance {instance.name}").write(work)

    async def renew(self, claims: Claims) -> Renewed:
        """A new token for who shows one that still holds."""
        now = self._clock.now()
        token, new = proof.token(self._key, claims.instance, claims.permissions, now)
        until = datetime.fromtimestamp(new.expires_at, UTC)
        await self._store.everything().write(
            lambda s: s.instances.add_token(claims.instance, proof.hash_of(new.id), until)
        )
        return Renewed(token=token, expiresAt=iso(until) or "")

    async def remove(self, id: str, by: str, along: Callable[[Session], T]) -> T:
        """Take an instance out: its tokens end at once. What `along` makes of the same transaction. Conflict for the primary
        itself."""
        if id == self._me.id:
            raise Conflict("the primary cannot be removed: promote another instance first")
        if self._carrier.node.membership.member(id) is not None:
            await self._carrier.change(Change(remove=id))

        def work(s: Session) -> T:
            s.instances.remove(id)
            return along(s)

        made = await self._store.everything(by=by).write(work)
        await self.changed()
        return made

    def peers(self) -> tuple[Peer, ...]:
        """Where every instance is reached, the primary first, then by failover order."""
        first = self._carrier.standing.primary or ""
        return tuple(
            Peer(id=one.id, url=one.sync_url, fingerprint=one.fingerprint, web=one.web_url)
            for one in sorted(self.known, key=lambda one: (one.id != first, one.failover_order, one.name))
        )

    # Tokens ----------------------------------------------------------------------------------------------------------
    def signed(self, headers: Mapping[str, str], *, adopting: bool = False) -> Claims:
        """Who asks, by a token that a member of this cluster signed (`adopting`: for a server that joins). Denied."""
        given = headers.get("authorization", "")
        if not given.startswith("Bearer "):
            raise Denied("expected an instance's token as Authorization: Bearer …, found none", authenticated=False)
        claims = proof.claims_of(self._key, given.removeprefix("Bearer ").strip(), self._clock.now())
        if ("adopt" in claims.permissions) != adopting:
            raise Denied(f"this token is for {'other things' if adopting else 'the data of a server that joins'}")
        return claims

    async def who(self, headers: Mapping[str, str], may: Permission) -> Claims:
        """Who asks, by a token that was given out, was not taken back, and lets its bearer do this. Denied."""
        claims = self.signed(headers)
        hashed = proof.hash_of(claims.id)
        if not await self._store.everything().read(lambda s: s.instances.has_token(claims.instance, hashed)):
            raise Denied("the token was taken back, or is not known here yet: register again", authenticated=False)
        if may not in claims.permissions:
            raise Denied(f"this token does not permit {may}")
        return claims

    def find(self, id: str | None) -> Instance | None:
        """That instance, or None: nobody with this id is registered."""
        return next((one for one in self.known if one.id == id), None)

    def name(self, id: str) -> str:
        """What people call that instance, as far as that is known."""
        found = self.find(id)
        return id if found is None else found.name

    def must_belong(self, id: str) -> None:
        """Outcast when that instance was removed: what it signs looks right for as long as it likes."""
        if self._carrier.node.membership.member(id) is not None:
            return
        if self.find(id) is None:
            raise Outcast("this instance does not belong to the cluster any more", cause="removed")

    def own_token(self) -> str:
        """A token for this instance itself, to show to its peers."""
        return proof.token(self._key, self._me.id, MAY, self._clock.now())[0]

    # Membership ------------------------------------------------------------------------------------------------------
    async def admit(self) -> None:
        """One step towards the membership that the registered instances make: who is new observes, and votes once it has
        the log; who has a new disk goes first."""
        found = self.known
        membership = self._carrier.node.membership
        for one in found:
            known = membership.member(one.id)
            if known is not None and known.incarnation != one.incarnation:
                await self._carrier.change(Change(remove=one.id))
                return
            wanted = _member_of(one, "observer" if known is None or known.kind == "observer" else known.kind)
            if known != wanted:
                await self._carrier.change(Change(put=wanted))
                return
            if wanted.kind == "observer" and one.sync_url:
                try:
                    await self._carrier.change(Change(put=_member_of(one, "witness" if one.witness else "voter")))
                except Conflict:
                    continue  # it has not the whole log yet
                return
        for member in membership.members:
            if member.id not in {one.id for one in found}:
                await self._carrier.change(Change(remove=member.id))
                return

    def adopting_token(self, instance: str) -> str:
        """A token for the data of a server that joins, and for nothing else."""
        return proof.token(self._key, instance, ("adopt",), self._clock.now())[0]

    def key_of_loads(self, instance: str) -> bytes:
        """What secrets in that data are sealed with on their way; every instance gives the same."""
        return proof.key_of_loads(self._key, instance)

    def _refuse(self, cause: str, asked: Registration | Offer, client: str, words: str) -> NoReturn:
        telemetry.registrations.labels(cause).inc()
        log.warning("cluster.registration_refused", cause=cause, name=asked.instanceName, instance=asked.instanceId)
        self.refused(cause, f"{client} wanted to register as instance {asked.instanceName!r} and was refused: {words}")
        raise Denied(words)


async def _nothing() -> None:
    """What hears of a change while nobody does."""


def _instance_of(asked: Registration, certificate: Certificate | None, now: datetime) -> Instance:
    return Instance(
        id=asked.instanceId, name=asked.instanceName, location=asked.location,
        sync_url=(asked.publicEndpoint or "").rstrip("/"),
        web_url=asked.webUrl.rstrip("/"), fingerprint=asked.fingerprint,
        failover_order=asked.failoverOrder, version=asked.version,
        capabilities=asked.capabilities, system_info=msgspec.to_builtins(asked.systemInfo), incarnation=asked.incarnation,
        witness=asked.witness, certificate=certificate, created_at=now,
    )  # fmt: skip


def _member_of(one: Instance, kind: Any) -> Member:
    return Member(id=one.id, incarnation=one.incarnation, url=one.sync_url, order=one.failover_order, kind=kind)


def must_understand(version: int) -> None:
    """Conflict with both numbers when that version of the wire is too far from ours."""
    if abs(version - wire.WIRE) > 1:
        raise Conflict(
            f"expected version {wire.WIRE} of the sync API (or one before or after), found {version}: this is"
            f" Tocsin {__version__}"
        )
