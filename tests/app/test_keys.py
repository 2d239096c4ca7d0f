from __future__ import annotations

from tocsin.app.keys import derive


def test_each_purpose_has_its_own_lasting_key() -> None:
    signing, sealing = derive(b"m" * 40, "signing"), derive(b"m" * 40, "sealing")
    assert len(signing) == len(sealing) == 32
    assert signing != sealing
    assert signing == derive(b"m" * 40, "signing")
    assert signing != derive(b"n" * 40, "signing")


def test_the_derivation_never_changes() -> None:
    """A change here would make every stored secret unreadable."""
    assert derive(b"0123456789abcdef" * 2, "sealing").hex() == (
        "d871c0f2cffafdf9268387d109c0739ca09754ccc10e5cce52054dcadc0f5b6d"
    )
