"""Every exception the engine raises.

    EngineError
      ConfigurationError   the operator asked for something contradictory; lists every mistake
      ObservationsError    a file of observations cannot be imported; lists every bad line
      CommandRefused       refused; the request and its refusal are in the log; carries `reasons`
        KeyReused          its key came with another command before; nothing was appended
      StaleEpoch           a write under an activation that was revoked
      NoMaster             nobody of the group can serve within the time given
      EffectRefused        raised by a service's own function of an effect: no, and nothing changed
      LogError             the log cannot be used; what was durable is untouched
        LogConflict        head or writer epoch moved: fold again from the log, decide again
        LogUncertain       a commit whose outcome is unknown: read the log, it alone knows
        LogTooNew          written by a newer release; nothing was changed
        LogForeign         not a log of Tanist: a text file, another database
        LogCorrupted       breaks an invariant at `seq`: stop, never repair silently
        LogLocked          another process writes it
        LogFull            no space is left for it
        StateDropped       what a state at that seq would be folded from was dropped
      ReplayDiverged       the same events gave another state: a bug in this package

A bug in the engine raises AssertionError, which no caller should catch.
"""

from collections.abc import Sequence


class EngineError(Exception):
    """The root: everything that a caller may want to catch."""


class _Listed(EngineError):
    """One error that names every mistake, each with its place."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = tuple(mistakes)


class ConfigurationError(_Listed):
    """The operator asked for something contradictory; `mistakes` has every one with its place."""


class ObservationsError(_Listed):
    """A file of observations cannot be imported; `mistakes` names the lines."""


class CommandRefused(EngineError):
    """Refused; the request and its refusal are in the log."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = tuple(reasons)


class KeyReused(CommandRefused):
    """The key of a command came with another one before; nothing was appended."""

    def __init__(self, key: str, seq: int) -> None:
        where = f": event {seq}" if seq else ""
        super().__init__((f"the key {key!r} was used for another command{where}",))
        self.key = key
        self.seq = seq  # of that other command; 0: it is under way


class StaleEpoch(EngineError):
    """The activation a write ran under was revoked before it ended; it does not count."""


class NoMaster(EngineError):
    """No master of the group could serve within the time given."""


class EffectRefused(EngineError):
    """A function that carries out an effect says no; nothing has changed."""


class LogError(EngineError):
    """The log cannot be used; what was durable is untouched."""


class LogConflict(LogError):
    """The log's head or its writer is not the one that the append was decided on."""


class LogUncertain(LogError):
    """Whether the append is in the log is unknown; only reading it again can tell."""


class LogTooNew(LogError):
    """The log was written by a newer release; nothing was changed."""


class LogForeign(LogError):
    """The file is not a log of Tanist."""


class LogCorrupted(LogError):
    """The log breaks an invariant at `seq`."""

    def __init__(self, seq: int, found: str) -> None:
        super().__init__(f"event {seq}: {found}")
        self.seq = seq
        self.found = found


class LogLocked(LogError):
    """Another process holds the log for writing."""


class LogFull(LogError):
    """The append did not fit: disk or quota is full."""


class StateDropped(LogError):
    """What was observed up to there was dropped, so nobody knows the state at that seq any more."""


class ReplayDiverged(EngineError):
    """The same events gave another state; that is a bug in this package."""
