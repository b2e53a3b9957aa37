"""What draws random numbers in a fork of a zygote: seeded anew, or siblings would draw the same.

The module `random` and numpy's own state always; of what the import has made itself (`random.Random()`,
`numpy.random.default_rng()`) only what it has left to the system to seed: a seed that it has given means the
same numbers in each worker. `ssl` sees the fork by itself since OpenSSL 1.1.1; `uuid` and `secrets` ask the
system.
"""

from __future__ import annotations

import gc
import os
import random
import sys
from typing import Any

_NUMPY = ("Generator", "RandomState")


class Seeds:
    """What an import leaves to the system to seed."""

    def __init__(self) -> None:
        self._unseeded: dict[int, random.Random] = {}
        self._drawn: set[int] = set()
        """What numpy takes for a seed where it is given none: by `secrets`, from here."""
        self._own_seed = random.Random.seed
        self._own_bits = random.SystemRandom.getrandbits
        self._numpys: list[Any] = []

    def begin(self) -> None:
        """The import comes now."""
        own_seed, own_bits = self._own_seed, self._own_bits

        def seed(of: random.Random, a: Any = None, version: int = 2) -> None:
            own_seed(of, a, version)
            if a is None:
                self._unseeded[id(of)] = of
            else:
                self._unseeded.pop(id(of), None)

        def getrandbits(of: random.SystemRandom, k: int) -> int:
            drawn = own_bits(of, k)
            if k >= 128:
                self._drawn.add(drawn)
            return drawn

        random.Random.seed = seed  # type: ignore[method-assign, assignment]
        random.SystemRandom.getrandbits = getrandbits  # type: ignore[method-assign, assignment]

    def end(self) -> None:
        """It is over."""
        random.Random.seed = self._own_seed  # type: ignore[method-assign]
        random.SystemRandom.getrandbits = self._own_bits  # type: ignore[method-assign]
        if "numpy.random" in sys.modules:
            made = [each for each in gc.get_objects() if type(each).__name__ in _NUMPY]
            self._numpys = [bits for each in made if (bits := self._bits(each)) is not None]

    def anew(self) -> None:
        """In each worker."""
        random.seed()
        for each in self._unseeded.values():
            each.seed()
        numpy_random = sys.modules.get("numpy.random")
        if numpy_random is not None:
            numpy_random.seed()
        for bits in self._numpys:
            bits.state = type(bits)().state
        ssl = sys.modules.get("ssl")
        if ssl is not None:
            ssl.RAND_add(os.urandom(32), 32.0)  # OpenSSL before 1.1.1 saw nothing

    def _bits(self, made: Any) -> Any:
        """The state of one that nobody has seeded."""
        bits = getattr(made, "bit_generator", None) or getattr(made, "_bit_generator", None)
        seeds = getattr(bits, "seed_seq", None)  # since numpy 1.25
        seeds = seeds or getattr(bits, "_seed_seq", None)
        entropy = getattr(seeds, "entropy", None)
        return bits if isinstance(entropy, int) and entropy in self._drawn else None
