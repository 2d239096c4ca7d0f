"""Whether an Ed25519 signature is good (RFC 8032, section 5.1.7). Pure, and for checking alone: nothing here is secret, so
nothing needs constant time. An agent checks one now and then, and a library would stay in its memory for good (ADR 0025)."""

from __future__ import annotations

from hashlib import sha512

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)  # of -1

_Point = tuple[int, int, int, int]
"""x, y, z and t: the point (x/z, y/z), where t is xy/z."""


def is_signed(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether who holds the private key signed this message. As other implementations do, it takes no signature whose
    second half is not reduced, and compares the first as it is written.

    S·B = R + h·A is wanted, so S·B - h·A is computed and compared with R."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    signer, scalar = _decoded(public_key), int.from_bytes(signature[32:], "little")
    if signer is None or scalar >= _ORDER:
        return False
    challenge = int.from_bytes(sha512(signature[:32] + public_key + message).digest(), "little") % _ORDER
    x, y, z, t = signer
    return _encoded(_sum_of(scalar, challenge, (_P - x, y, z, _P - t))) == signature[:32]


def _decoded(text: bytes) -> _Point | None:
    """The point that 32 bytes stand for; None when they stand for none."""
    y = int.from_bytes(text, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    x = None if y >= _P else _x_of(y, sign)
    return None if x is None else (x, y, 1, x * y % _P)


def _x_of(y: int, sign: int) -> int | None:
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    return _P - x if x & 1 != sign else x


def _encoded(point: _Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, -1, _P)
    return (y * inverse % _P | (x * inverse % _P & 1) << 255).to_bytes(32, "little")


def _plus(a: _Point, b: _Point) -> _Point:
    """The sum, also of a point and itself (section 5.1.4)."""
    m, n = (a[1] - a[0]) * (b[1] - b[0]) % _P, (a[1] + a[0]) * (b[1] + b[0]) % _P
    c, d = 2 * a[3] * b[3] * _D % _P, 2 * a[2] * b[2] % _P
    e, f, g, h = n - m, d - c, d + c, n + m
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


_ZERO: _Point = (0, 1, 1, 0)
_BASE_Y = 4 * pow(5, -1, _P) % _P
_BASE_X = _x_of(_BASE_Y, 0) or 0
_BASE: _Point = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % _P)


def _sum_of(first: int, second: int, point: _Point) -> _Point:
    """first times the base point, and second times this point."""
    found, both = _ZERO, _plus(_BASE, point)
    for bit in range(max(first.bit_length(), second.bit_length()) - 1, -1, -1):
        found = _plus(found, found)
        chosen = first >> bit & 1, second >> bit & 1
        if chosen != (0, 0):
            found = _plus(found, both if chosen == (1, 1) else _BASE if chosen[0] else point)
    return found
