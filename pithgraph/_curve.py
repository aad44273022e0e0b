"""Is a 32-byte string a public key that SPEC §5 accepts? Plain arithmetic on public points.

What lives here: decoding an edwards25519 point (RFC 8032 §5.1.3) and asking its order. What
must not: signing, verifying, or anything secret - signatures are verified by libraries (`keys`).
`cryptography` has no call that tells a point's order; this runs once a key, never once an event.
"""

from __future__ import annotations

from typing import Final

P: Final = 2**255 - 19
L: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, P) % P
_SQRT_M1: Final = pow(2, (P - 1) // 4, P)

_Point = tuple[int, int, int, int]  # extended coordinates X, Y, Z, T (RFC 8032 §5.1.4)
_IDENTITY: Final = (0, 1, 1, 0)


def _add(a: _Point, b: _Point) -> _Point:
    # RFC 8032 §5.1.4: complete, so it doubles as well.
    e_part = (a[1] - a[0]) * (b[1] - b[0]) % P
    f_part = (a[1] + a[0]) * (b[1] + b[0]) % P
    c = 2 * a[3] * b[3] * _D % P
    d = 2 * a[2] * b[2] % P
    e, f, g, h = f_part - e_part, d - c, d + c, f_part + e_part
    return e * f % P, g * h % P, f * g % P, e * h % P


def _multiply(scalar: int, point: _Point) -> _Point:
    result: _Point = _IDENTITY
    for bit in bin(scalar)[2:]:
        result = _add(result, result)
        if bit == "1":
            result = _add(result, point)
    return result


def _is_identity(point: _Point) -> bool:
    return point[0] % P == 0 and (point[1] - point[2]) % P == 0


def decode_point(encoded: bytes) -> _Point | None:
    """The point of a canonical encoding (RFC 8032 §5.1.3), or None if it is not one."""
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (_D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if (v * x * x - u) % P != 0:
        x = x * _SQRT_M1 % P
        if (v * x * x - u) % P != 0:
            return None
    if x == 0 and sign:
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def may_verify(encoded: bytes) -> bool:
    """Whether 32 bytes can be an A of SPEC §5's acceptance: y canonical, not of small order.

    Cheap, and weaker than `public_key_fault`: points of mixed order pass.
    """
    y = int.from_bytes(encoded, "little") & (2**255 - 1)
    return y < P and not any(
        (y | sign << 255).to_bytes(32, "little") in SMALL_ORDER_ENCODINGS for sign in (0, 1)
    )


def public_key_fault(encoded: bytes) -> str | None:
    """Why SPEC §5 refuses a public key, or None: canonical, on the curve, not of small order,
    in the subgroup of prime order."""
    if len(encoded) != 32:
        return f"a public key has 32 bytes, not {len(encoded)}"
    point = decode_point(encoded)
    if point is None:
        return "not the canonical encoding of a point of the curve"
    if _is_identity(_multiply(8, point)):
        return "a point of small order"
    if not _is_identity(_multiply(L, point)):
        return "a point outside the subgroup of prime order"
    return None


# The eight points of small order, canonically encoded: no R may be one (SPEC §5). A test
# derives them; written out, they cost no start-up.
SMALL_ORDER_ENCODINGS: Final = frozenset(
    bytes.fromhex(encoding)
    for encoding in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)
