"""Account: a report for people who were not there."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from engine.cli import output, places
from engine.cli.copies import Force
from engine.cli.options import File, FilePlace
from engine.core.errors import ConfigurationError


def report(
    place: FilePlace = None,
    /,
    *,
    incident: Annotated[
        int | None,
        Parameter(help="One incident, as `tanist incidents` numbers it; left out: all of the log."),
    ] = None,
    markdown: Annotated[Path | None, Parameter(help="Where it goes as Markdown.")] = None,
    html: Annotated[
        Path | None, Parameter(help="Where it goes as one page of HTML that needs nothing else.")
    ] = None,
    log: File = None,
    force: Force = False,
) -> None:
    """Write what happened, for people who were not there.

    Of one incident: what happened when, in words; where the time went; why it was decided so, down
    to single observations; who was not chosen; the policy that was in force. Of a whole log: every
    incident, availability, and the record of each master. At the end stands how to check it.
    Without a file it is printed as Markdown.

    Example: tanist report --incident 1842 --html friday.html
    """
    from engine.cli.reporting import as_html, of_incident, of_log
    from engine.log.place import log_path
    from engine.log.whole import arriving

    target, _ = places.split((place,), log, most=0)
    with places.open_for_reading(target) as opened:
        name = opened.path.name
        text = (
            of_log(opened, name=name)
            if incident is None
            else of_incident(opened, incident, name=name)
        )
    if markdown is None and html is None:
        output.text(text.rstrip("\n"))
        return
    if markdown is not None and markdown == html:
        raise ConfigurationError([f"{markdown}: expected two files, found the same one twice"])
    for path, written in ((markdown, text), (html, None if html is None else as_html(text))):
        if path is not None and written is not None:
            with arriving(log_path(path), force=force) as part:
                part.write_text(written, encoding="utf-8")
            output.text(f"{path}: {len(written):,} characters")
