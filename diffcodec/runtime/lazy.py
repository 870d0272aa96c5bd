"""Names that a module has without importing what they stand in: that comes when a name is asked for (PEP 562).

What a command needs of the package is a small part of it, and importing all takes longer than many commands do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module


def elsewhere(
    module: str, homes: Mapping[str, Iterable[str]], modules: Iterable[str] = ()
) -> Callable[[str], object]:
    """The ``__getattr__`` of a module whose names stand in others.

    module: its own ``__name__``. homes: names by the module that they stand in, as seen from the module's package
    (".stream.push"). modules: of that package, to be had by their own names. What was asked for is an attribute of the
    module from then on, as if it were imported. The function raises AttributeError for names that stand nowhere.
    """
    home_of = {name: home for home, names in homes.items() for name in names}
    itself = frozenset(modules)

    def found(name: str) -> object:
        package = sys.modules[module].__package__
        if name in itself:
            return import_module(f".{name}", package)
        if name not in home_of:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        value: object = getattr(import_module(home_of[name], package), name)
        setattr(sys.modules[module], name, value)
        return value

    return found
