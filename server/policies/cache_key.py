"""A short key for a cache from everything that changes the answer."""

from __future__ import annotations

import secrets

from orjson import OPT_SORT_KEYS, dumps
from xxhash import xxh3_128_digest

# One seed a process: nobody outside can look for inputs whose hashes collide.
_SEED = secrets.randbits(64)


def cache_key(tenant: str, *parts: object, seed: int = _SEED) -> tuple[str, bytes]:
    """Return ``(tenant, digest)``, the digest 16 bytes over ``parts``: XXH3-128 of their canonical JSON.

    ``parts`` are JSON values: strings, numbers, booleans, ``None`` and lists, tuples and string-keyed dicts of those.
    JSON quotes strings and brackets lists, so different parts have different bytes: ``("ab", "c")`` is not
    ``("a", "bc")``. Dict keys are sorted. ``1`` and ``1.0`` differ, which costs at most a miss. ``TypeError`` on
    anything else (``NaN``, which JSON does not have, is written as ``null``: refuse it before).

    Collisions: among n keys two digests agree with probability about n**2 / 2**129, 1.5e-31 for 10,000. XXH3 is no
    cryptographic hash, so the seed is drawn anew in each process, and the tenant stands beside the digest, not in it:
    even a collision cannot hand one tenant the answer of another. Use ``tenant=""`` to share answers on purpose. Keys
    are for one process and not for storage.
    """
    return tenant, xxh3_128_digest(dumps(parts, option=OPT_SORT_KEYS), seed)
