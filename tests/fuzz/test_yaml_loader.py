"""Campaign files as nobody would write them: whatever a file holds, what comes out is a spec or a list of problems.

An input is made of an example campaign and one to four mutations, from a seed and its number alone: where number 4711
fails, ``made(4711)`` is its content again. ``make fuzz`` tries 100,000 of them, other runs a small part; FUZZ_INPUTS
and FUZZ_SEED set how many and which, FUZZ_MINUTES ends it earlier.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from campaigns.errors import SpecError, YamlError
from campaigns.source import dump_spec, load_any
from campaigns.yaml_source import parse_yaml

INPUTS = int(os.environ.get("FUZZ_INPUTS", "1000"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
MINUTES = float(os.environ.get("FUZZ_MINUTES", "inf"))
SECONDS = 2
"""CPU time that no input may take."""
LONGEST_MESSAGE = 5000
"""Characters of one problem: two keys or names of 1,000 characters, and the words around them."""

EXAMPLES = sorted((Path(__file__).parents[2] / "campaigns" / "examples").rglob("*.yaml"))
TEXTS = [path.read_bytes() for path in EXAMPLES]
WORDS = sorted({word.strip("[]{},:'\"") for text in TEXTS for word in text.decode().split()})

ODD = (
    *("", "~", "null", "true", "yes", "on", "0", "-1", "1.5", "1e309", "-1e-400", ".inf", "-.inf", ".nan", "012"),
    *("0o17",),
    *("0x" + "f" * 40, "9" * 30, "9" * 5000, "-" + "9" * 25, "1_000", "1:30", "1e" + "9" * 200, "2024-01-01"),
    *("0.1" * 50,),
    *("[]", "{}", "[[]]", "[{}]", "{a: {b: {c: {}}}}", "[1, two, [3], {four: 5}]", "{? [a, b] : c}"),
    *("{? {a: b} : c}",),
    *("[" * 40 + "]" * 40, "{a: " * 40 + "}" * 40, "[" * 5000, "- " * 200, "? " * 200),
    *("!!python/object/apply:os.system ['echo sprung']", "!!python/name:os.system", "!!binary aGk="),
    *("!!set {a, b}"),
    *("!!str 1", "!local x", "!<tag:yaml.org,2002:int> 3", "!%41 x", "!!timestamp 2024-01-01", "!!omap [a: 1]"),
    *("!",),
    *("&a [*a]", "*nowhere", "&a {<<: *a}", "&a &b x", "*" + "a" * 500, "&a [x, *a, *a]", "{<<: {a: 1}}"),
    *("{<<: [1, 2]}"),
    *("${HOME}", "${LINGSHU_FUZZ}", "${LINGSHU_FUZZ:-x}", "${LINGSHU_}", "${", "${${LINGSHU_FUZZ}}"),
    *("${LINGSHU_UNSET}",),
    *("$(id)", "`id`", "${LINGSHU_UNSET:-${HOME}}", "{{ 7 * 7 }}", "%(a)s", "!include /etc/passwd"),
    *("!ENV ${HOME}",),
    *("../../../../etc/passwd", "/dev/zero", "s3://", "s3://key:secret@bucket/x", "gopher://host"),
    *("file://host/x",),
    *("x" * 2000, "'" + "y" * 2000 + "'", '"\\ud800"', '"\\U00110000"', '"\\x00"', '"\\u2028"', "'\u2028'"),
    *('"\\e[31m"',),
    *("\u202etxt.exe", "e\u0301", "\ufb01", "\U0001f9ec", "\u00a0", "\u200b", "\ufeff", "ＫＩＮＤ", "\x85", "\t"),
    *("a\tb",),
    *("'", '"', "'unclosed", '"unclosed', "|", ">", "|2-\n   a\n  b", ">+\n\n\n", "|9\n x", "#", "@x", "`x"),
    *("%x", ",", "]", "}"),
    *("? a", "? a\n: b", ": b", "a: b: c", "- a: b\n- c", "---", "...", "--- x\n--- y", "%YAML 9.9"),
    *("%YAML 1." + "1" * 400,),
)  # fmt: skip

KEYS = ("kind", "<<", "?", "1", "true", "~", "", '"kind"', "'a b'", "[a]", "{a: b}", "*a", "!!str kind", "k" * 1500)


def flipped(text: bytes, random: random.Random) -> bytes:
    """Bits that a disk or a line has turned."""
    found = bytearray(text)
    for _ in range(random.randint(1, 8)):
        if found:
            found[random.randrange(len(found))] ^= 1 << random.randrange(8)
    return bytes(found)


def sprinkled(text: bytes, random: random.Random) -> bytes:
    """Bytes put in between."""
    place = random.randrange(len(text) + 1)
    return text[:place] + random.randbytes(random.randint(1, 6)) + text[place:]


def cut(text: bytes, random: random.Random) -> bytes:
    """A piece taken out, or all from some place on."""
    first = random.randrange(len(text) + 1)
    last = random.choice([len(text), first + random.randint(1, 200)])
    return text[:first] + text[last:]


def recoded(text: bytes, random: random.Random) -> bytes:
    """Another encoding, another line end."""
    as_text = text.decode("utf-8", "replace")
    return random.choice(
        [
            as_text.encode("utf-16"),
            as_text.encode("utf-8-sig"),
            as_text.encode("latin-1", "replace") + b"\xb5",
            as_text.replace("\n", "\r\n").encode(),
            as_text.replace("\n", random.choice("\r\x85\u2028\x0b\x00")).encode(),
            as_text.replace(" ", random.choice("\t\u00a0\u3000")).encode(),
        ]
    )


def reordered(text: bytes, random: random.Random) -> bytes:
    """Lines swapped, doubled, dropped, moved to the side."""
    lines = text.split(b"\n")
    for _ in range(random.randint(1, 4)):
        one, other = random.randrange(len(lines)), random.randrange(len(lines))
        match random.randrange(5):
            case 0:
                lines[one], lines[other] = lines[other], lines[one]
            case 1:
                lines.insert(one, lines[other])
            case 2:
                lines[one] = b" " * random.randint(1, 9) + lines[one]
            case 3:
                lines[one] = lines[one].removeprefix(b"  ")
            case _:
                del lines[one : one + random.randint(1, 5)]
                lines = lines or [b""]
    return b"\n".join(lines)


def spliced(text: bytes, random: random.Random) -> bytes:
    """Lines of another campaign in this one."""
    lines, theirs = text.split(b"\n"), random.choice(TEXTS).split(b"\n")
    first, place = random.randrange(len(theirs)), random.randrange(len(lines) + 1)
    lines[place:place] = theirs[first : first + random.randint(1, 12)]
    return b"\n".join(lines)


def revalued(text: bytes, random: random.Random) -> bytes:
    """An odd value behind a key."""
    lines = text.split(b"\n")
    place = random.choice([i for i, line in enumerate(lines) if b":" in line] or [0])
    key = lines[place].partition(b":")[0]
    lines[place] = key + b": " + random.choice(ODD).encode("utf-8", "surrogatepass")
    return b"\n".join(lines)


def rekeyed(text: bytes, random: random.Random) -> bytes:
    """An odd key before a value, or another letter in it."""
    lines = text.split(b"\n")
    place = random.choice([i for i, line in enumerate(lines) if b":" in line] or [0])
    key, _, value = lines[place].partition(b":")
    indent = key[: len(key) - len(key.lstrip())]
    letter = random.randrange(len(key) + 1)
    near = key[:letter] + random.choice("aeiz_- ").encode() + key[letter + random.randrange(2) :]
    lines[place] = random.choice([indent + random.choice(KEYS).encode(), near]) + b":" + value
    return b"\n".join(lines)


def scattered(text: bytes, random: random.Random) -> bytes:
    """Odd pieces and words of other campaigns anywhere."""
    for _ in range(random.randint(1, 3)):
        place = random.randrange(len(text) + 1)
        piece = random.choice([random.choice(ODD), random.choice(WORDS)]).encode("utf-8", "surrogatepass")
        text = text[:place] + piece + text[place:]
    return text


def bombed(text: bytes, random: random.Random) -> bytes:
    """Aliases of aliases."""
    wide, deep = random.randint(2, 12), random.randint(2, 12)
    lines = ["b0: &b0 [x, y]"]
    lines += [f"b{i}: &b{i} [{', '.join([f'*b{i - 1}'] * wide)}]" for i in range(1, deep)]
    return text + "\n".join(["", *lines, f"name: *b{deep - 1}", ""]).encode()


def retyped(text: bytes, random: random.Random) -> bytes:
    """Well-formed YAML with another type somewhere, an entry too few or too many."""
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, AttributeError, RecursionError):  # AttributeError: PyYAML, of a !!timestamp
        return text
    if not isinstance(data, dict):
        return text
    for _ in range(random.randint(1, 3)):
        changed(data, random)
    try:
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True).encode("utf-8", "surrogatepass")
    except (yaml.YAMLError, RecursionError):
        return text


def changed(data: dict[Any, Any], random: random.Random) -> None:
    block: Any = data
    while True:
        inner = [
            each for each in (block.values() if isinstance(block, dict) else block) if isinstance(each, dict | list)
        ]
        inner = [each for each in inner if each]
        if not inner or random.random() < 0.3:
            break
        block = random.choice(inner)
    if not block:
        return
    key = random.choice(list(block)) if isinstance(block, dict) else random.randrange(len(block))
    match random.randrange(5):
        case 0:
            del block[key]
        case 1:
            block[key] = [block[key]]
        case 2:
            block[key] = {random.choice(WORDS): block[key]}
        case 3 if isinstance(block, dict):
            block[random.choice(WORDS)] = block[key]
        case _:
            other = [None, True, 0, -1, 10**25, 0.5, float("inf"), "", random.choice(WORDS), random.choice(ODD), [], {}]
            block[key] = random.choice(other)


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(flipped, sprinkled, cut, recoded, reordered, reordered, spliced, rekeyed, scattered, bombed),
    *(revalued, revalued, revalued, retyped, retyped, retyped, retyped, retyped),
)


def made(number: int, seed: int = SEED) -> bytes:
    """The content of an input."""
    chance = random.Random(f"{seed}:{number}")
    text = chance.choice(TEXTS)
    for mutation in chance.choices(MUTATIONS, k=chance.choice([1, 1, 1, 2, 2, 3, 4])):
        text = mutation(text, chance)
    return text


class TooSlow(BaseException):
    """An input took more CPU time than any may."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Interrupt what takes longer, so that a bomb is a failure with a number and not a run that never ends."""

    def interrupt(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def load(content: bytes, environment: dict[str, str]) -> Any:
    """Read a campaign as if it lay in a file: opening 200,000 of them would take longer than reading them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("campaigns.source.read_yaml", lambda path, variables: parse_yaml(content, path, variables))
        return load_any("fuzz.yaml", environment).spec


def read(content: bytes) -> str:
    """Read a campaign and return what came of it; raises where it is anything but a spec or problems."""
    try:
        spec = load(content, {"LINGSHU_FUZZ": "fuzz"})
    except (YamlError, SpecError) as error:
        refusal = error
    else:
        assert load(dump_spec(spec).encode(), {}) == spec
        return "a spec"
    assert refusal.problems
    for problem in refusal.problems:
        assert problem.file == "fuzz.yaml"
        assert problem.text.strip()
        assert len(str(problem)) < LONGEST_MESSAGE
        assert str(problem).isprintable()
    return type(refusal).__name__


class Tally:
    """What came of the inputs so far, and how fast."""

    def __init__(self) -> None:
        self.started, self.cpu = time.perf_counter(), time.process_time()
        self.outcomes = Counter[str]()
        self.slowest = (0.0, -1)

    @property
    def minutes(self) -> float:
        return (time.perf_counter() - self.started) / 60

    def note(self, outcome: str, seconds: float, number: int) -> None:
        self.outcomes[outcome] += 1
        self.slowest = max(self.slowest, (seconds, number))

    def __str__(self) -> str:
        inputs, seconds, cpu = self.outcomes.total(), self.minutes * 60, time.process_time() - self.cpu
        told = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        rate = (
            f"{inputs:,} inputs in {seconds:.0f} s ({inputs / seconds:.0f} a second; {inputs / cpu:.0f} a CPU second)"
        )
        return f"{rate}: {told}; the slowest {self.slowest[0] * 1000:.0f} ms (number {self.slowest[1]})"


def test_a_campaign_is_read_or_its_problems_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally()
    for number in range(INPUTS):
        content, before = made(number), time.process_time()
        try:
            with at_most(SECONDS):
                outcome = read(content)
        except (Exception, TooSlow) as error:
            raise AssertionError(f"made({number}, seed={SEED}): {type(error).__name__}: {error}") from error
        tally.note(outcome, time.process_time() - before, number)
        if (number + 1) % 10_000 == 0 or number + 1 == INPUTS:
            with capsys.disabled():
                print(f"\n{tally}", flush=True)
        if tally.minutes > MINUTES:
            break
    # All three occur, or the mutations are too weak or too strong to say anything.
    assert min(tally.outcomes[each] for each in ("a spec", "SpecError", "YamlError")) > tally.outcomes.total() / 50


def test_an_input_is_made_of_its_number_alone() -> None:
    assert [made(number) for number in range(50)] == [made(number) for number in reversed(range(50))][::-1]
    assert made(3, seed=1) != made(3, seed=2)


def test_what_is_slow_is_interrupted() -> None:
    with pytest.raises(TooSlow), at_most(0.05):
        spin()


def spin() -> None:
    while True:
        pass
