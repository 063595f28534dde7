"""Two commands for one campaign that share nothing but the store: the second follows the first.

A run takes the place of results when nobody alive holds it. It tells of itself by beats (`actors.heartbeat`) that stand
in the store before `HEAD` names it, and takes `HEAD` from the very version in which it saw that the place is free. So
of two that begin at the same moment one takes the place, and the other finds it at work.

Whoever follows shows what the other tells. When that has published, it shows the same table and ends alike. When it
dies, is interrupted or fails (which may be its machine's fault), the follower takes the place and goes on from what is
committed. Should one that seemed dead wake up, it finds a later epoch, as ever.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from types import TracebackType

from actors.beat import Beat
from actors.blobs import Blobs
from actors.epoch import Epoch
from actors.errors import CorruptBlob, Fenced
from actors.heartbeat import Heartbeat, remove_beats
from actors.history import History
from actors.job import Ending, Look
from actors.patience import Patience
from actors.progress import Progress
from actors.strict_json import Fields, check_object
from actors.watch import Sighting, Watch
from campaigns.errors import printable
from screening.errors import LeftRunning, PlaceTaken
from screening.outcome import EXIT_INTERRUPTED, EXIT_PARTIAL, outcome_of
from screening.planning.asked import digest_of
from screening.planning.campaign import PlannedCampaign
from screening.watching.run_listener import RunListener, tell_news
from screening.watching.run_news import RunNews

LOOK_SECONDS = 2.0
_log = logging.getLogger(__name__)
SILENT_SECONDS = 600.0
"""How long whoever follows waits for a store that doesn't answer."""
FACTS: Fields = {
    "run_id": str,
    "output": str,
    "computed": int,
    "reused": int,
    "failed": int,
    "gates": str,
    "cache": (str, type(None)),
    "cancelled": str,
    "files": list,
}
"""What is told of results that are published, so that others can show them alike."""


class Tenure:
    """A run that holds its place: it tells its listener and all others how it is getting on, and how it ends.

    Attributes
    ----------
    epoch
        Its right to publish.
    """

    def __init__(self, epoch: Epoch, heartbeat: Heartbeat, listener: RunListener) -> None:
        self.epoch = epoch
        self._heartbeat, self._listener = heartbeat, listener
        self._ending = Ending(EXIT_INTERRUPTED, "it was interrupted")

    def __enter__(self) -> Tenure:
        """Go on holding it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave how the run ended; one that was taken over leaves nothing, because others look at the later one."""
        if isinstance(error, Fenced):
            self._heartbeat.withdraw()
        elif isinstance(error, Exception):
            self._heartbeat.end(Ending(*outcome_of(error)))
        else:
            self._heartbeat.end(self._ending)

    def stage(self, name: str, detail: str) -> None:
        """Tell that a stage has begun."""
        _log.info("stage %s: %s", name, detail)
        self._heartbeat.stage(name, detail)
        self._listener.stage(name, detail)

    def progress(self, progress: Progress) -> None:
        """Tell how far the prediction is."""
        self._heartbeat.progress(progress)
        self._listener.progress(progress)

    def news(self, news: RunNews) -> None:
        """Tell what this run is, and who leads so far."""
        self._heartbeat.news(news.as_data())
        tell_news(self._listener, news)

    def published(self, facts: dict[str, object], shortfall: str) -> None:
        """The results are published; ``shortfall`` says why they are not complete."""
        self._ending = Ending(EXIT_PARTIAL if shortfall else 0, shortfall, facts)


class Newcomer:
    """A run that is about to begin, and first looks who is there.

    Parameters
    ----------
    blobs
        The place of the results.
    stages
        Names that the listener knows: what others tell of themselves comes from a store.
    is_rehearsal
        Whether it has to do the work itself.
    """

    def __init__(
        self,
        planned: PlannedCampaign,
        blobs: Blobs,
        listener: RunListener,
        stages: Collection[str],
        *,
        is_rehearsal: bool = False,
        watch: Watch | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._about = about_run(planned)
        self._output = planned.campaign.spec.output
        self._blobs, self._listener, self._stages = blobs, listener, stages
        self._is_rehearsal, self._sleep = is_rehearsal, sleep
        self._watch = watch or Watch(History(blobs, patience_seconds=0))
        self._announced: dict[str, str] = {}
        self._shown: tuple[str, str, str] | None = None
        self._progress: Progress | None = None
        self._news: RunNews | None = None

    def take(self, history: History, holder: str, *, by_force: bool = False) -> Tenure | Ending:
        """Take the place as soon as it is free, or return how a run of the same campaign ended that held it meanwhile.

        Parameters
        ----------
        holder
            As in `Epoch.begin`.
        by_force
            Don't wait: a run that holds the place is stopped.

        Raises
        ------
        PlaceTaken
            Another campaign is running into it.
        LeftRunning
            This was interrupted, and the run that it followed goes on.
        StoreError
            The store doesn't answer, or what it holds can't be read.
        """
        while True:
            seen = self._look() if by_force else self._wait()
            ending = self._same_end(seen)
            if ending is not None:
                return ending
            held = self._begin(history, holder, seen)
            if held is not None:
                return held

    def _begin(self, history: History, holder: str, seen: Sighting) -> Tenure | None:
        heartbeat = Heartbeat(self._blobs, self._about)
        heartbeat.stage("open", self._output)
        heartbeat.start()
        try:
            epoch = Epoch.succeed(history, seen.head, seen.version, holder, heartbeat.owner)
        except BaseException:
            heartbeat.withdraw()
            raise
        if epoch is None:  # somebody else was faster
            heartbeat.withdraw()
            return None
        if seen.beat is not None:
            remove_beats(self._blobs, seen.beat.owner)
        return Tenure(epoch, heartbeat, self._listener)

    def _wait(self) -> Sighting:
        """Follow whoever holds the place until it is free."""
        seen = self._look()
        try:
            while seen.verdict != "free":
                self._heed(seen)
                self._sleep(LOOK_SECONDS)
                seen = self._look()
        except KeyboardInterrupt:
            if seen.beat is None or seen.verdict != "alive":
                raise
            raise LeftRunning(
                f"the run goes on without this command ({_process(seen.beat)}); `lingshu status` tells how far it is,"
                " and the same command follows it again"
            ) from None
        if seen.beat is not None and self._same_end(seen) is not None:
            self._show(seen.beat)  # its last stage may have taken less than the time between two looks
        self._tell_end(seen)
        return seen

    def _look(self) -> Sighting:
        return Patience(SILENT_SECONDS if self._announced else 60.0, self._sleep).wait_for(self._watch.look)

    def _heed(self, seen: Sighting) -> None:
        beat = seen.beat
        if beat is None:
            return
        self._announce(beat, seen.verdict)
        if seen.verdict == "alive":
            self._check_same(beat)
            self._show(beat)

    def _announce(self, beat: Beat, verdict: str) -> None:
        """Say once of each run that it is there."""
        if self._announced.get(beat.owner) in (verdict, "alive"):
            return
        self._announced[beat.owner] = verdict
        self._shown = self._progress = None
        if verdict == "unsure":
            text = f"looks whether it still lives, for {self._watch.patience_seconds:.0f} s; --take-over doesn't wait"
            self._listener.stage("open", f"a run is here already, {describe_run_of(beat)}; {text}")
        else:
            self._listener.stage("open", f"this campaign is running already, {describe_run_of(beat)}; follows it")

    def _check_same(self, beat: Beat) -> None:
        place, there = self._blobs.url, look_of(beat, self._stages).about
        if beat.about["run_id"] != self._about["run_id"]:
            raise PlaceTaken(
                f"{place}: another campaign, {there['name']!r} of {there['file']} (run {there['run_id'][:16]}), is"
                f" running into it, {describe_run_of(beat)}. Wait for it, give this one another --output, or stop that"
                " one with --take-over"
            )
        if self._is_rehearsal:
            raise PlaceTaken(
                f"{place}: this campaign is running already, {describe_run_of(beat)}, and a rehearsal that follows"
                " strikes nothing. Wait for it, give this one another --output, or stop that one with --take-over"
            )

    def _show(self, beat: Beat) -> None:
        """Pass on what is new; the stages that both go through by themselves are known."""
        stages = look_of(beat, self._stages).stages
        stage = (beat.owner, *stages[-1]) if stages else None
        if stage is not None and stage != self._shown:
            self._shown = stage
            if stage[1] not in ("load", "plan", "open"):
                self._listener.stage(stage[1], stage[2])
        news = RunNews.from_data(beat.news)
        if news is not None and news != self._news:
            self._news = news
            tell_news(self._listener, replace(news, output=self._output))
        if beat.progress is not None and beat.progress != self._progress:
            self._progress = beat.progress
            self._listener.progress(replace(beat.progress, last_setback=printable(beat.progress.last_setback)))

    def _tell_end(self, seen: Sighting) -> None:
        """Say why the place is free, where somebody was there."""
        if seen.beat is None:
            if seen.why:
                self._listener.stage("open", printable(seen.why))
        elif seen.beat.ending is None:
            self._listener.stage(
                "open", f"the run before, {describe_run_of(seen.beat)}: {seen.why}; goes on from what is committed"
            )
        elif self._announced and self._same_end(seen) is None:
            self._listener.stage("open", f"the other run: {printable(seen.why)}; goes on from what is committed")

    def _same_end(self, seen: Sighting) -> Ending | None:
        """Return how a run ended that was followed, if it published just what is asked for here."""
        beat = seen.beat
        if beat is None or beat.ending is None or not self._announced:
            return None
        if any(beat.about[name] != self._about[name] for name in ("run_id", "asked")):
            return None  # the same blocks, but another threshold or name: it takes a moment to publish it
        try:
            facts = check_object(dict(beat.ending.facts), FACTS, "ending")
        except CorruptBlob:
            return None
        shown = {name: printable(value) if isinstance(value, str) else value for name, value in facts.items()}
        return replace(beat.ending, facts={**shown, "output": self._output, "files": list(map(str, facts["files"]))})


def about_run(planned: PlannedCampaign) -> dict[str, str]:
    """Say what others should know of a run; no secrets."""
    spec = planned.campaign.spec
    return {
        "name": spec.name,
        "run_id": planned.plan.run_id,
        "asked": digest_of(spec),
        "file": planned.campaign.source.file,
    }


def describe_run_of(beat: Beat) -> str:
    """Say since when a run is there and who started it."""
    return f"since {printable(beat.about['since'])}, started by {printable(beat.about['user'])} ({_process(beat)})"


def look_of(beat: Beat, stages: Collection[str]) -> Look:
    """Write a beat as a look at a job; what could steer a terminal, or is no stage that we know, is left out."""
    about = {name: printable(text) for name, text in beat.about.items()}
    mark = {"process": beat.mark.process, "host": printable(beat.mark.host)}
    known = ((beat.stage, printable(beat.detail)),) if beat.stage in stages else ()
    return Look({**about, **mark}, known, beat.progress, "", beat.ending, beat.news)


def _process(beat: Beat) -> str:
    return f"process {beat.mark.process} on {printable(beat.mark.host)}"
