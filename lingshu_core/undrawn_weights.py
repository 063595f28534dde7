"""Build a network whose weights are about to be replaced, without drawing random ones first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch.overrides import TorchFunctionMode

_DRAWS = frozenset({"normal_", "uniform_", "kaiming_uniform_"})
"""What the layers of our networks draw their first weights with."""


class UndrawnWeights(TorchFunctionMode):
    """Within it tensors aren't filled with random numbers: 120 million take a second, and a checkpoint has others.

    They hold whatever was in the memory, so every one has to be loaded (``load_state_dict`` is strict about that).
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Leave a tensor as it is where it would be filled."""
        options = dict(kwargs or {})
        if getattr(func, "__name__", "") in _DRAWS:
            return args[0] if args else options["tensor"]
        return func(*args, **options)
