"""Frozen records without code generation.

`dataclasses` writes and compiles source for every class: 1 ms a class, 20 ms to import, 60 ms of each start
before the first app runs (measured). A Record reads the same, is checked the same by mypy (PEP 681),
compares, hashes, shows and pickles the same, and costs 20 µs a class. Use `dataclass` where a start does not
pay for it.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import Any, ClassVar, Final, NoReturn, Self, TypeVar, cast, dataclass_transform

EMPTY: Final[Mapping[Any, Any]] = MappingProxyType({})
"""A mapping to use as a default: fields are shared, so that no default may be mutable."""


T = TypeVar("T")


class _Computed:
    def __init__(self, make: Callable[[], object]) -> None:
        self.make = make


_NOTHING: Final = _Computed(list)
"""Of a field without a default."""


def computed(*, factory: Callable[[], T]) -> T:
    """A default that is made anew for each record."""
    return cast("T", _Computed(factory))


@dataclass_transform(frozen_default=True, field_specifiers=(computed,))
class Record:
    """Base of immutable value classes: annotated names are fields, values in the class body are defaults.

    `class X(Record, kw_only=True)` takes keywords only. `hidden` names fields that repr() must not show.
    """

    _fields: ClassVar[tuple[str, ...]] = ()
    _known: ClassVar[frozenset[str]] = frozenset()
    """The fields again, to look up."""
    _needed: ClassVar[frozenset[str]] = frozenset()
    """Those without a plain default, which is found on the class when it is asked for."""
    _values: ClassVar[Callable[[Any], object]]
    """Gets those of all fields."""
    _hidden: ClassVar[frozenset[str]] = frozenset()
    _kw_only: ClassVar[bool] = False

    def __init_subclass__(cls, *, kw_only: bool = False, hidden: tuple[str, ...] = ()) -> None:
        """Note the fields of a new class, those of its bases first."""
        names = [name for name, kind in cls.__annotations__.items() if "ClassVar" not in str(kind)]
        cls._fields = (*cls._fields, *(name for name in names if name not in cls._fields))
        cls._known = frozenset(cls._fields)
        cls._needed = frozenset(
            name for name in cls._fields if isinstance(getattr(cls, name, _NOTHING), _Computed)
        )
        cls._values = attrgetter(*cls._fields) if cls._fields else type
        cls._hidden = cls._hidden | frozenset(hidden)
        cls._kw_only = kw_only

    def __init__(self, *values: Any, **named: Any) -> None:
        """Take each field by position or name. Raises TypeError like any call with wrong arguments."""
        if values:
            if self._kw_only or len(values) > len(self._fields):
                raise TypeError(f"{type(self).__name__}: too many positional arguments")
            if named:
                placed = dict(zip(self._fields, values, strict=False))
                if not named.keys().isdisjoint(placed):
                    twice = next(name for name in placed if name in named)
                    raise TypeError(f"{type(self).__name__}: {twice} is given twice")
                named.update(placed)
            else:
                named = dict(zip(self._fields, values, strict=False))
        if not self._known.issuperset(named):
            self._refuse(named)
        if not named.keys() >= self._needed:
            self._fill(named)
        self.__dict__.update(named)

    def _fill(self, named: dict[str, Any]) -> None:
        for name in self._fields:
            if name in self._needed and name not in named:
                default = getattr(type(self), name, _NOTHING)
                if default is _NOTHING:
                    raise TypeError(f"{type(self).__name__} needs {name!r}")
                named[name] = default.make()

    def _refuse(self, named: Mapping[str, Any]) -> NoReturn:
        unknown = next(name for name in named if name not in self._known)
        raise TypeError(f"{type(self).__name__} has no field {unknown!r}")

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """The names of the fields, in the order of declaration."""
        return cls._fields

    def as_dict(self) -> dict[str, Any]:
        """Every field with its value, in the order of declaration."""
        return {name: getattr(self, name) for name in self._fields}

    def but(self, **changes: Any) -> Self:
        """A copy in which these fields differ."""
        if not self._known.issuperset(changes):
            self._refuse(changes)
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, **changes)
        return copy

    def __getstate__(self) -> dict[str, Any]:
        """For pickle, which knows no read-only mappings."""
        return {
            name: dict(value) if isinstance(value, MappingProxyType) else value
            for name, value in self.__dict__.items()
        }

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen: cannot set {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen: cannot delete {name}")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        if self is other or self.__dict__ == other.__dict__:
            return True
        if self.__dict__.keys() == other.__dict__.keys():
            return False
        return all(getattr(self, name) == getattr(other, name) for name in self._fields)

    def __hash__(self) -> int:
        return hash((type(self), self._values(self)))  # type: ignore[call-arg] # it is no method

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self._fields if name not in self._hidden)
        return f"{type(self).__name__}({', '.join(shown)})"
