"""The gates of a screen: what the model cards say of every context and condition that it asks about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from campaigns.conditions import Condition, Context
from screening.models.model_card import ModelCard, read_card
from screening.planning.members import Member

NOT_MEASURED, UNDECIDED = "not measured", "undecided"
WORST_FIRST = ("fail", "warn", NOT_MEASURED, UNDECIDED, "pass")
"""Of several members the worst counts; what nobody measured is worse than what nobody could tell."""
MOST_NAMED = 6

Sampler = tuple[int, str, float]
"""Steps, schedule and guidance."""
_Key = tuple[frozenset[tuple[str, str]], tuple[tuple[str, float | None], ...]]


@dataclass(frozen=True)
class Gates:
    """Gates of the models of a screen, one card a member; None where a model has no card."""

    cards: tuple[ModelCard | None, ...]

    @classmethod
    def of(cls, members: Iterable[Member]) -> Gates:
        """Read the cards of the members; errors as in :func:`screening.models.model_card.read_card`."""
        return cls(tuple(read_card(member.location, member.header.digest) for member in members))

    @cached_property
    def _tables(self) -> tuple[Mapping[_Key, Mapping[str, Any]], ...]:
        return tuple({_key(gate): gate for gate in card.gates} if card else {} for card in self.cards)

    def verdict(self, condition: Condition) -> str:
        """Return the gate of a condition: the worse of its context's and of its own, of the worst member."""
        parts = tuple((part.name, part.dose) for part in condition.perturbation.parts)
        return _worst(self._of_member(table, condition.context, parts) for table in self._tables)

    def of_context(self, context: Context) -> str:
        """Return the gate of a context's controls."""
        return _worst(self._of_member(table, context, ()) for table in self._tables)

    @staticmethod
    def _of_member(
        table: Mapping[_Key, Mapping[str, Any]], context: Context, parts: tuple[tuple[str, float | None], ...]
    ) -> str:
        factors = frozenset(context.as_dict().items())
        found = [table[key]["verdict"] for key in dict.fromkeys([(factors, ()), (factors, parts)]) if key in table]
        decided = [verdict for verdict in found if verdict not in (NOT_MEASURED, UNDECIDED)]
        return _worst(decided or found)

    @property
    def facts(self) -> dict[str, Any]:
        """Name the cards by their digests, for a manifest; None for a model without one."""
        digests = [card.digest if card else None for card in self.cards]
        return {"model_card": digests[0] if len(digests) == 1 else digests}

    def describe(self, contexts: Sequence[Context], sampler: Sampler | None = None) -> str:
        """Say in a line which contexts pass; and with which sampler, where it is another than this one."""
        measured = [card.content["measured"]["sampler"] for card in self.cards if card and card.gates]
        if not measured:
            return "gates: not measured; `lingshu card` compares the model's cells with real ones"
        verdicts = {context: self.of_context(context) for context in contexts}
        counted = Counter(verdicts.values())
        told = ", ".join(f"{counted[verdict]:,} {verdict}" for verdict in reversed(WORST_FIRST) if counted[verdict])
        failed = [context.label for context, verdict in verdicts.items() if verdict == "fail"]
        named = ", ".join(f"({label})" for label in failed[:MOST_NAMED]) + (" …" if len(failed) > MOST_NAMED else "")
        others = [_sampler(each) for each in measured if sampler is not None and _sampler(each) != sampler]
        other = (
            f" (measured with {_words(others[0])}, this screen takes {_words(sampler)})" if others and sampler else ""
        )
        return f"gates of {len(verdicts):,} contexts: {told}" + (f"; failed: {named}" if failed else "") + other


def _sampler(content: Mapping[str, Any]) -> Sampler:
    return content["steps"], content["schedule"], content["guidance"]


def _words(sampler: Sampler) -> str:
    steps, schedule, guidance = sampler
    return f"{steps} {schedule} steps, guidance {guidance:g}"


def _key(gate: Mapping[str, Any]) -> _Key:
    return frozenset(gate["context"].items()), tuple((name, dose) for name, dose in gate["parts"])


def _worst(verdicts: Iterable[str]) -> str:
    found = set(verdicts)
    return next((verdict for verdict in WORST_FIRST if verdict in found), NOT_MEASURED)
