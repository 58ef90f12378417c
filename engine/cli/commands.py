"""The table of commands: what `tanist --help` shows, and where each one is.

It is all that a call has to load before it knows what was asked for. The first line of a command's
own help says the same as its row here.
"""

from typing import Final, NamedTuple


class Command(NamedTuple):
    """One command of the command line."""

    name: str
    place: str  # module:function
    summary: str


PANELS: Final[dict[str, tuple[Command, ...]]] = {
    "Start": (
        Command(
            "demo",
            "engine.cli.start:demo",
            "Three real masters, the engine and a load: strike the active one and see.",
        ),
        Command("init", "engine.cli.start:init", "Write a commented tanist.toml."),
        Command(
            "check",
            "engine.cli.start:check",
            "Name every mistake of a configuration, or what it adds up to.",
        ),
        Command("run", "engine.cli.start:run", "Run the engine until it is told to stop."),
    ),
    "Look": (
        Command(
            "status",
            "engine.cli.look:status",
            "Groups, masters, roles, health, and what is waited for.",
        ),
        Command("events", "engine.cli.look:events", "Print the log, or a part of it."),
        Command(
            "why",
            "engine.cli.look:why",
            "The causal chain of a decision, down to single observations.",
        ),
        Command(
            "why-not",
            "engine.cli.asking:why_not",
            "Why a master was not chosen, or would not be chosen now.",
        ),
        Command("diff", "engine.cli.asking:diff", "What is different between two positions."),
        Command("messages", "engine.cli.asking:messages", "Where each message is."),
        Command(
            "weights",
            "engine.cli.asking:weights",
            "Who gets which share of the work, with the arithmetic.",
        ),
        Command(
            "config",
            "engine.cli.asking:config",
            "What is in force, where it came from, and what the file says otherwise.",
        ),
    ),
    "Act": (
        Command("pause", "engine.cli.act:pause", "Start no new failover; observing goes on."),
        Command("resume", "engine.cli.act:resume", "End a pause."),
        Command(
            "failover", "engine.cli.act:failover", "Force another master to take over, at once."
        ),
        Command(
            "switchover",
            "engine.cli.act:switchover",
            "Change the active master as planned; refused if it would lose anything.",
        ),
        Command("approve", "engine.cli.act:approve", "Let a waiting failover go."),
        Command(
            "release",
            "engine.cli.act:release",
            "Lift the brakes of a group or the fleet, or the fence of a lost master.",
        ),
        Command("undo", "engine.cli.tend:undo", "Plan the switch back from a failover."),
        Command(
            "reset",
            "engine.cli.tend:reset",
            "Forget what was counted of a master or a group: failures, flaps, back-off.",
        ),
        Command(
            "master",
            "engine.cli.tend:master",
            "Add a master, let it rest, keep it from being chosen, or take it out.",
        ),
        Command(
            "strategy", "engine.cli.tend:strategy", "Balance a group's traffic by another strategy."
        ),
        Command(
            "maintenance",
            "engine.cli.tend:maintenance",
            "Declare a maintenance: before, while it lasts, or afterwards.",
        ),
        Command(
            "apply",
            "engine.cli.tend:apply",
            "Adopt a changed configuration while the engine runs.",
        ),
        Command("ack", "engine.cli.alerts:ack", "Silence an alert, and nothing else."),
        Command("checkpoint", "engine.cli.act:checkpoint", "Give this place in the log a name."),
        Command(
            "rollback",
            "engine.cli.act:rollback",
            "Take groups back to what they were at a position.",
        ),
    ),
    "Account": (
        Command(
            "uptime", "engine.cli.account:uptime", "The time in every state, and the availability."
        ),
        Command(
            "audit", "engine.cli.account:audit", "Who asked for what, when, and what came of it."
        ),
        Command(
            "incidents",
            "engine.cli.incidents:incidents",
            "What went wrong: from the first symptom to the recovery.",
        ),
        Command(
            "report",
            "engine.cli.report:report",
            "Write what happened, for people who were not there.",
        ),
        Command(
            "alerts",
            "engine.cli.alerts:alerts",
            "What people have to hear of now, or had to at any position.",
        ),
    ),
    "Replay": (
        Command(
            "replay",
            "engine.cli.replaying:replay",
            "Fold the log, and print the state and its digest.",
        ),
        Command(
            "whatif",
            "engine.cli.hypotheses:whatif",
            "Decide again on what was observed, beside what happened.",
        ),
        Command(
            "tune",
            "engine.cli.hypotheses:tune",
            "Detection time against false verdicts, for each value of a setting.",
        ),
        Command(
            "trial",
            "engine.cli.hypotheses:trial",
            "What an engine that only observed would have done.",
        ),
        Command(
            "simulate",
            "engine.cli.simulating:simulate",
            "Run the shipped code in virtual time, among faults; name every law that broke.",
        ),
        Command(
            "scenarios",
            "engine.cli.simulating:scenarios",
            "Run the incidents that are shipped as files, and hold each against its oracle.",
        ),
    ),
    "Keep": (
        Command(
            "import",
            "engine.cli.keep:import_",
            "Run the engine over recorded observations, at their own times.",
        ),
        Command(
            "verify",
            "engine.cli.keep:verify",
            "Check every digest, move and rollback; name the first event that is wrong.",
        ),
        Command(
            "seal",
            "engine.cli.copies:seal",
            "Pack the log at rest into sealed blocks, and give the space back.",
        ),
        Command(
            "rebuild",
            "engine.cli.rebuilding:rebuild",
            "Fold the stored views anew, or try a parked one again.",
        ),
        Command(
            "backup",
            "engine.cli.copies:backup",
            "Write a copy of the log as it is at one moment, while an engine writes it or not.",
        ),
        Command(
            "copy",
            "engine.cli.copies:copy",
            "Write the events and bodies of a log to a new one of the newest format, sealed.",
        ),
        Command(
            "upgrade",
            "engine.cli.copies:upgrade",
            "Bring a log of an older release to the newest format, with a way back.",
        ),
        Command(
            "incident",
            "engine.cli.cutting:incident",
            "Cut an incident out of the log, as one file that stands for the log.",
        ),
        Command(
            "purge",
            "engine.cli.purging:purge",
            "Remove the body of a message that is done, or of state that was replaced.",
        ),
        Command(
            "export",
            "engine.cli.extracts:export",
            "Write the events as JSON Lines or CSV, for other programs.",
        ),
        Command(
            "sql",
            "engine.cli.extracts:sql",
            "Ask the log in SQL; nothing is changed, and an engine may write meanwhile.",
        ),
        Command(
            "observer",
            "engine.cli.eyes:observer",
            "Look at the masters from another place, and tell a running engine.",
        ),
        Command(
            "probe",
            "engine.cli.eyes:probe",
            "Look at one master, and say what was seen; check its control protocol.",
        ),
        Command(
            "bench",
            "engine.cli.bench:bench",
            "Measure append and replay beside their floors, and say which goals are met.",
        ),
    ),
}

USAGE: Final = """\
Usage: tanist COMMAND [LOG] [OPTIONS]

Keeps a fleet of masters serving, and can show for every decision why it was made.
"""
FOOTER: Final = """\
LOG is a file or an sqlite:/// URL; to Look, to Act, to Account (but for report), for purge and
rebuild also the http:// address of a running engine. Left out: $TANIST_LOG, $TANIST_URL, the log of
./tanist.toml, ./tanist.db. Exit: 0 done; 1 the answer is no; 2 wrong usage or configuration; 3 the
log cannot be used. More about a command: tanist COMMAND --help
Example: tanist init && tanist check tanist.toml && tanist run tanist.toml
"""


def overview() -> str:
    """Return what `tanist --help` prints."""
    width = max(len(command.name) for panel in PANELS.values() for command in panel)
    parts = [USAGE]
    for name, panel in PANELS.items():
        lines = [f"  {command.name:<{width}}  {command.summary}" for command in panel]
        parts.append("\n".join([name, *lines, ""]))
    return "\n".join([*parts, FOOTER])
