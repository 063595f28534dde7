"""The front of the house: joins model, campaigns and actors into screens, results and the command line.

For notebooks and scripts (docs/python.md)::

    import screening

    screen = screening.screen("campaign.yaml")
    screen.hits().head()

The names of `screening.notebook.api` are here; they are loaded when one is used, so that ``import screening`` brings
neither torch nor Ray.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from screening.notebook.api import (
        ProgressLines,
        Screen,
        draw_cells,
        open_results,
        plan,
        screen,
        simulate,
        train,
    )

__all__ = ["ProgressLines", "Screen", "draw_cells", "open_results", "plan", "screen", "simulate", "train"]


def __getattr__(name: str) -> Any:
    """Load what `__all__` names when it is asked for (PEP 562); none of it may be called like a module."""
    if name not in __all__:
        raise AttributeError(f"module 'screening' has no attribute {name!r}; it has {', '.join(__all__)}")
    from screening.notebook import api

    return getattr(api, name)


def __dir__() -> list[str]:
    """List the names that are loaded when they are asked for, too."""
    return sorted({*globals(), *__all__})
