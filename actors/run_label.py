"""Which run something on a cluster belongs to, in names that people read: those of actors, calls and log lines."""

from dataclasses import dataclass

SHORT = 8


@dataclass(frozen=True, slots=True)
class RunLabel:
    """The names of a run.

    Attributes
    ----------
    campaign
        Its name; empty where nobody has said it.
    run
        Id of the run, a hex digest; empty where there is none.
    stage
        What replicas do for it.
    """

    campaign: str = ""
    run: str = ""
    stage: str = "predict"

    @property
    def short(self) -> str:
        """Return a name for lists: `papalexi-1a2b3c4d`; empty where nothing is known."""
        return "-".join(part for part in (self.campaign, self.run[:SHORT]) if part)

    def of(self, name: str) -> str:
        """Say that a thing is this run's: `replica-3 of papalexi-1a2b3c4d`."""
        return f"{name} of {self.short}" if self.short else name

    def call(self, what: str) -> str:
        """Name a call, the same for all replicas, so that Ray's dashboard counts them together."""
        return f"{self.short} {self.stage}: {what}" if self.short else f"{self.stage}: {what}"

    def metadata(self) -> dict[str, str]:
        """Return what the page of a Ray job shows of it."""
        return {name: text for name, text in (("campaign", self.campaign), ("run_id", self.run)) if text}
