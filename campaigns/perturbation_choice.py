"""What a screen asks for by name, list, file or structure → the perturbations that the model can be asked about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from campaigns.conditions import Perturbation, split_combination
from campaigns.errors import VocabularyError, Where
from campaigns.findings import Findings, LeftOut, some
from campaigns.listing import read_columns, read_names
from campaigns.pairs import RankedSingles, describe_pairs, top_pairs
from campaigns.reach import Reach
from campaigns.screen_spec import (
    DosedListingSpec,
    DosedSpec,
    DrugSpec,
    LibrarySpec,
    ListingSpec,
    PairsSpec,
    ScreenSpec,
)
from campaigns.spec import ALL_DESCRIBED, ALL_SEEN
from campaigns.vocabulary import PERTURBATION_TYPES, Vocabulary
from campaigns.yaml_source import FieldPath, Source

StructureCheck = Callable[[str], str | None]
"""SMILES → what is wrong with it; None if nothing is."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A perturbation as the user named it; no doses: all that were seen."""

    label: str
    where: Where
    doses: tuple[float, ...] = ()
    smiles: str | None = None
    smiles_at: Where | None = None


class PerturbationChoice:
    """Resolves the perturbations of a screen, one type after the other, and then pairs.

    A name is known if it was seen in training, if the model has features of it, or if the screen gives its
    structure and the model reads structures. All others are problems.
    """

    def __init__(
        self, vocabulary: Vocabulary, source: Source, findings: Findings, structure_problem: StructureCheck | None
    ) -> None:
        self.vocabulary = vocabulary
        self.reach = Reach(vocabulary)
        self.source = source
        self.findings = findings
        self.structure_problem = structure_problem or (lambda smiles: None)
        self.structures: dict[str, str] = {}
        self.found: dict[Perturbation, None] = {}
        self.twice: list[str] = []
        self.new_doses: list[str] = []
        self.needless_structures: list[str] = []
        self.unreadable_structures: list[tuple[str, Where]] = []

    def resolve(self, spec: ScreenSpec) -> Iterable[Perturbation]:
        """Give every perturbation once; what is wrong or may surprise goes to the findings."""
        for type in PERTURBATION_TYPES:
            chosen = getattr(spec.perturbations, type)
            if chosen == ALL_SEEN:
                self._all_seen(type)
            elif chosen == ALL_DESCRIBED:
                self._all_described(type)
            else:
                self._listed(tuple(self._entries(chosen, ("perturbations", type))), type)
        self._tell()
        return self.found

    def add_pairs(self, spec: PairsSpec, ranked: RankedSingles, asked_contexts: int) -> None:
        """Add the best singles of a screen and all pairs of them; one that was named already is there once."""
        where, named = self.source.where(("perturbations", "pairs")), len(self.twice)
        doses = () if isinstance(spec.doses, str) else spec.doses
        for label in top_pairs(spec, ranked):
            self._entry(_Entry(label, where, doses), spec.of)
        del self.twice[named:]
        self.findings.notice(describe_pairs(spec, ranked, asked_contexts))

    def _tell(self) -> None:
        if self.twice:
            self.findings.notice(f"{len(self.twice)} perturbations are named twice and count once: {some(self.twice)}")
        if self.new_doses:
            self.findings.notice(
                f"{len(self.new_doses)} doses weren't seen in training, the model has to guess: {some(self.new_doses)}"
            )
        if self.unreadable_structures:
            names = [name for name, _ in self.unreadable_structures]
            obstacle = self.reach.structure_obstacle()
            drugs = "a drug is" if len(names) == 1 else f"{len(names)} drugs are"
            text = f"{drugs} given by structure ({some(names)}), and {obstacle}"
            self.findings.problem(self.unreadable_structures[0][1], text)
        if self.needless_structures:
            self.findings.notice(
                f"{len(self.needless_structures)} drugs are known to the model by name, so their `smiles` tell"
                f" scaffolds only: {some(self.needless_structures)}"
            )

    def _all_seen(self, type: str) -> None:
        seen = {label: seen for label, seen in self.vocabulary.perturbations.items() if seen.type == type}
        if not seen:
            self.findings.notice(f"perturbations.{type}: the model has seen no {type} perturbation")
        for label, perturbation in seen.items():
            for dose in perturbation.doses or (None,):
                self.found[Perturbation.parse(label, type, dose)] = None

    def _all_described(self, type: str) -> None:
        names = [name for name in self.vocabulary.described if self.vocabulary.type_of(name) == type]
        if not names:
            self.findings.notice(f"perturbations.{type}: {self.reach.no_features(type)}")
        obstacles = {name: self.reach.obstacle(name) for name in names if name != self.vocabulary.control}
        for reason, count in Counter(filter(None, obstacles.values())).items():
            self.findings.notice(f"{count} {type} perturbations were never seen and are left out: {reason}")
        for name, obstacle in obstacles.items():
            if obstacle is not None:
                self.findings.left_out.append(LeftOut(type, name, obstacle))
            else:
                for dose in self._doses((name,))[name] or (None,):
                    self.found[Perturbation.of((name,), type, dose)] = None

    def _entries(self, chosen: ListingSpec | tuple[str | DosedSpec, ...], path: FieldPath) -> Iterator[_Entry]:
        if isinstance(chosen, ListingSpec):
            found, problems = False, len(self.findings.problems)
            try:
                for entry in self._file_entries(chosen, path):
                    found = True
                    yield entry
            except VocabularyError as error:
                self.findings.problems.extend(error.problems)
            if not found and len(self.findings.problems) == problems:
                text = f"{chosen.file} lists nothing; give it a name on every line, or leave {path[-1]} out"
                self.findings.problem(self.source.where((*path, "file")), text)
            return
        for index, item in enumerate(chosen):
            where = self.source.where((*path, index))
            if isinstance(item, str):
                yield _Entry(item, where)
            else:
                smiles = item.smiles if isinstance(item, DrugSpec) else None
                yield _Entry(item.name, where, _named(item), smiles, self.source.where((*path, index, "smiles")))

    def _file_entries(self, listing: ListingSpec, path: FieldPath) -> Iterator[_Entry]:
        doses = _named(listing) if isinstance(listing, DosedListingSpec) else ()
        columns = {"name": listing.name, "smiles": listing.smiles} if isinstance(listing, LibrarySpec) else {}
        named = {
            key: (column, self.source.where((*path, key))) for key, column in columns.items() if column is not None
        }
        if not named:
            for name, where in read_names(listing.file, self.source.where((*path, "file"))):
                yield _Entry(name, where, doses)
            return
        name_column = named["name"][0]
        for row, where in read_columns(listing.file, named, self.source.where((*path, "file"))):
            if row["name"]:
                yield _Entry(row["name"], where, doses, row.get("smiles") or None)
            else:
                self.findings.problem(where, f"has nothing in column {name_column!r}; name it or leave it out")

    def _listed(self, entries: tuple[_Entry, ...], type: str) -> None:
        # Structures first: a combination may stand before the drugs that it is made of.
        usable = [entry for entry in entries if entry.smiles is None or self._takes_structure(entry, entry.smiles)]
        for entry in usable:
            self._entry(entry, type)

    def _takes_structure(self, entry: _Entry, smiles: str) -> bool:
        """Note the structure of a drug; False where the entry is of no use because of it."""
        where, name = entry.smiles_at or entry.where, entry.label.strip()
        if name == self.vocabulary.control:
            return True  # told like every other use of the control
        if self.vocabulary.spellings(name):
            self.needless_structures.append(name)
        elif self.reach.structure_obstacle() is not None:
            self.unreadable_structures.append((name, where))
            return False
        elif not self._is_single(entry):
            return False
        elif self.structures.setdefault(name, smiles) != smiles:
            self.findings.problem(where, f"{name!r} has another structure further up; name different drugs differently")
            return False
        problem = "it has white space" if smiles.split() != [smiles] else self.structure_problem(smiles)
        if problem is not None:
            self.findings.problem(where, f"structure of {name!r}: {problem}; correct it or leave the drug out")
        return problem is None

    def _is_single(self, entry: _Entry) -> bool:
        try:
            if len(split_combination(entry.label)) == 1:
                return True
            text = "a plus sign joins drugs, and a structure belongs to one; put it into round brackets or leave it out"
        except ValueError as error:
            text = str(error)
        self.findings.problem(entry.where, f"{entry.label!r}: {text}")
        return False

    def _entry(self, entry: _Entry, type: str) -> None:
        names = self._names(entry, type)
        if names is None or not self._of_type(entry, names, type):
            return
        doses = self._named_doses(entry, names, type) if entry.doses else self._seen_doses(entry, names)
        for dose in doses:
            perturbation = Perturbation.of(names, type, dose, self.structures)
            if perturbation in self.found:
                self.twice.append(perturbation.label)
            self.found[perturbation] = None

    def _names(self, entry: _Entry, type: str) -> tuple[str, ...] | None:
        """Split a label into the model's names, or note what is wrong with it."""
        try:
            written = split_combination(entry.label)
        except ValueError as error:
            self.findings.problem(entry.where, str(error))
            return None
        if tuple(sorted(written)) in self.vocabulary.by_parts:
            return written
        names = tuple(filter(None, [self._name(name, type, entry.where) for name in written]))
        if len(names) < len(written):
            return None
        if len(set(names)) < len(names):
            self.findings.problem(entry.where, f"{entry.label!r} has a part twice, once with its method")
            return None
        return names

    def _name(self, written: str, type: str, where: Where) -> str | None:
        """Give the model's name of one perturbation, or note why it has none."""
        if written in self.structures:
            return written
        spellings = self.vocabulary.spellings(written)
        if written == self.vocabulary.control:
            self.findings.problem(where, f"{written!r} is the control, which is added by itself; leave it out")
        elif written in self.vocabulary.pseudo:
            text = f"{written!r} is a pseudo-perturbation, a group of control cells for the null of every screen, which"
            self.findings.problem(where, f"{text} is added by itself; leave it out")
        elif not spellings:
            advice = self.reach.advice(written, type)
            self.findings.unknown(where, "perturbation", written, self.reach.alike(written, type), f"; {advice}")
        elif len(spellings) > 1:
            self.findings.problem(where, f"{written!r} is known by several methods; name one: {', '.join(spellings)}")
        elif (obstacle := self.reach.obstacle(spellings[0])) is not None:
            self.findings.problem(where, f"{written!r} was never seen, and {obstacle}")
        else:
            return spellings[0]
        return None

    def _type_of(self, name: str) -> str:
        return "drug" if name in self.structures else self.vocabulary.type_of(name) or ""

    def _of_type(self, entry: _Entry, names: tuple[str, ...], type: str) -> bool:
        """Whether known names are of a type; what was seen together has a type of its own, whatever its parts are."""
        types = {name: self._type_of(name) for name in names}
        exact = self.vocabulary.by_parts.get(tuple(sorted(names)))
        right = {exact.type} if exact is not None else set(types.values())
        if len(right) > 1:
            parts = ", ".join(f"{name} ({part_type})" for name, part_type in types.items())
            text = (
                f"{entry.label!r} mixes types: {parts}; combinations of different types are supported only where "
                "the model has seen them together; leave it out, or train on cells that had both"
            )
        elif right != {type}:
            (own,) = right
            text = f"{entry.label!r} is a {own} perturbation in this model; list it under perturbations.{own}"
        else:
            return True
        self.findings.problem(entry.where, text)
        return False

    def _doses(self, names: tuple[str, ...]) -> dict[str, tuple[float, ...]]:
        """Give the doses of each part; an unseen one is dosed like its type, unless a seen one beside it isn't."""
        seen, of_type = self.vocabulary.part_doses, self.vocabulary.type_doses
        undosed = any(name in seen and not seen[name] for name in names)
        return {
            name: seen[name] if name in seen else () if undosed else of_type.get(self._type_of(name), ())
            for name in names
        }

    def _seen_doses(self, entry: _Entry, names: tuple[str, ...]) -> tuple[float | None, ...]:
        """Give the doses of a label that was seen as it is, else those that all its parts have in common."""
        doses = self._doses(names)
        exact = self.vocabulary.by_parts.get(tuple(sorted(names)))
        if exact is not None:
            return exact.doses or (None,)
        common = set.intersection(*(set(doses[name]) for name in names))
        if common or not any(doses[name] for name in names):
            return tuple(sorted(common)) or (None,)
        if all(doses[name] for name in names):
            text = f"the parts of {entry.label!r} have no seen dose in common; name `doses`"
            self.findings.problem(entry.where, text)
        else:
            self._half_dosed(entry, names)
        return ()

    def _named_doses(self, entry: _Entry, names: tuple[str, ...], type: str) -> Iterator[float]:
        doses = self._doses(names)
        exact = self.vocabulary.by_parts.get(tuple(sorted(names)))
        undosed = [name for name in names if not doses[name]]
        if undosed and (exact is not None or len(undosed) == len(names)):
            seen = all(name in self.vocabulary.part_types for name in names)
            what = entry.label if seen else f"{type} perturbations"
            self.findings.problem(entry.where, f"the model was trained on {what} without doses; leave `doses` out")
            return
        if undosed:
            self._half_dosed(entry, names)
            return
        for dose in entry.doses:
            if any(dose not in doses[name] for name in names):
                self.new_doses.append(Perturbation.of(names, "", dose).label)
            yield dose

    def _half_dosed(self, entry: _Entry, names: tuple[str, ...]) -> None:
        doses = self.vocabulary.part_doses
        seen = [name for name in names if name in doses]
        self.findings.problem(
            entry.where,
            f"{entry.label!r} can't be combined: the model was trained on {some(n for n in seen if doses[n])} with "
            f"doses and on {some(n for n in seen if not doses[n])} without, and all parts of a combination have one "
            "dose; leave it out",
        )


def _named(item: DosedSpec | DosedListingSpec) -> tuple[float, ...]:
    return () if isinstance(item.doses, str) else item.doses
