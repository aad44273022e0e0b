"""The curve of Ed25519 in affine coordinates, from its equation alone: -x² + y² = 1 + dx²y².

What lives here: points that no library makes, to be refused: of small or mixed order, not reduced,
with a sign where there is none. Slow, and never given a secret.
"""

import functools

from signing import ORDER

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def add(one: Point, other: Point) -> Point:
    (x1, y1), (x2, y2) = one, other
    cross = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + cross, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - cross, -1, P) % P
    return x, y


def times(scalar: int, point: Point) -> Point:
    result = IDENTITY
    for bit in f"{scalar:b}":
        result = add(result, result)
        if bit == "1":
            result = add(result, point)
    return result


def root(square: int) -> int | None:
    """A square root modulo P, by trying both candidates that P = 5 mod 8 allows."""
    candidate = pow(square, (P + 3) // 8, P)
    for found in (candidate, candidate * pow(2, (P - 1) // 4, P) % P):
        if found * found % P == square % P:
            return found
    return None


def lift(y: int) -> Point | None:
    x = root((y * y - 1) * pow(D * y * y + 1, -1, P) % P)
    return None if x is None else (x, y)


def encoded(point: Point) -> bytes:
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decoded(key: bytes) -> Point:
    number = int.from_bytes(key, "little")
    point = lift(number % 2**255)
    assert point is not None
    x, y = point
    return (x if x & 1 == number >> 255 else P - x), y


@functools.cache
def torsion() -> tuple[Point, ...]:
    """The eight points of small order: the multiples of one of order eight, found by search."""
    y = 2
    while True:
        point = lift(y)
        small = times(ORDER, point) if point else IDENTITY
        if times(4, small) != IDENTITY:
            multiples = [IDENTITY]
            for _ in range(7):
                multiples.append(add(multiples[-1], small))
            return tuple(multiples)
        y += 1


def moved(key: bytes, index: int) -> bytes:
    """The key with a point of small order added: of mixed order unless the index is 0."""
    return encoded(add(decoded(key), torsion()[index]))


# Every y that is not reduced but fits into 255 bits, with either sign.
UNREDUCED = [(y | sign << 255).to_bytes(32, "little") for y in range(P, 2**255) for sign in (0, 1)]
# x = 0 has no sign; these are the two encodings that say it has one.
NEGATIVE_ZERO = [(y | 1 << 255).to_bytes(32, "little") for y in (1, P - 1)]
