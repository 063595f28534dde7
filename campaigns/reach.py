"""How far a model reaches beyond what it has seen, and in words where it doesn't."""

from __future__ import annotations

from collections import Counter
from functools import cached_property

from campaigns.conditions import split_method
from campaigns.nearest import nearest
from campaigns.vocabulary import Vocabulary

_TRAIN = "train it with `features:`"


class Reach:
    """Tells why a perturbation that was never seen can't be asked.

    Parameters
    ----------
    vocabulary : Vocabulary
        Of the model.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    def obstacle(self, name: str) -> str | None:
        """Say why a name that was seen, or that has features, can't be asked all the same; None if it can."""
        if name in self.vocabulary.part_types:
            return None
        type = self.vocabulary.described[name]
        if type not in self.vocabulary.type_doses:
            return _unlearned(type)
        methods = self.vocabulary.methods_seen
        if type == "genetic" and len(methods) > 1 and split_method(name)[1] is None:
            return (
                f"the model has learned {' and '.join(methods)}, while its features of unseen genes tell no method; "
                "train on one"
            )
        return None

    def structure_obstacle(self) -> str | None:
        """Say why drugs can't be given by their structure; None if they can."""
        if not self.vocabulary.structures:
            return f"the model can't read structures; {_TRAIN} of `smiles`, or screen drugs that it knows"
        return None if "drug" in self.vocabulary.type_doses else _unlearned("drug")

    def alike(self, name: str, type: str) -> tuple[str, ...]:
        """Give names of a type that can be asked; where there are none, those of other types that are spelt alike."""
        names = self._names.get(type, ())
        target, method = split_method(name)
        own = tuple(known for known in names if split_method(known)[0] == target) if method is not None else ()
        return own or names or nearest(name, self.vocabulary.part_types)

    def advice(self, name: str, type: str) -> str:
        """Say what stands against an unknown name, apart from its spelling."""
        target, method = split_method(name)
        by = sorted(by for part, by in self.vocabulary.methods.items() if split_method(part)[0] == target)
        if method is not None and by:
            return f"the cells had {target} by {' and '.join(by)} only"
        if method is not None and target in self.vocabulary.described:
            return self.obstacle(target) or f"the model has not learned {method}"
        if not self._described[type]:
            return self.no_features(type)
        structure = "; give its `smiles`" if type == "drug" and self.structure_obstacle() is None else ""
        number = f"{self._described[type]:,} {type} perturbations"
        return f"nor is it among the {number} that the model has features of{structure}"

    def no_features(self, type: str) -> str:
        """Say that only what was seen can be asked."""
        if type == "drug" and self.structure_obstacle() is None:
            return "the model has features of no named drug; give its structure: {name: …, smiles: …}"
        return f"the model has no features of {type} perturbations, so only seen ones can be asked; {_TRAIN}"

    @cached_property
    def _names(self) -> dict[str, tuple[str, ...]]:
        names: dict[str, list[str]] = {}
        for name, type in (dict(self.vocabulary.described) | self.vocabulary.part_types).items():
            if self.obstacle(name) is None:
                names.setdefault(type, []).append(name)
        return {type: tuple(known) for type, known in names.items()}

    @cached_property
    def _described(self) -> Counter[str]:
        return Counter(self.vocabulary.described.values())


def _unlearned(type: str) -> str:
    return f"the model was trained on no {type} perturbation, so it can't have learned what their features do"
