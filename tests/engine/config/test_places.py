"""The line of every key, held against the values that tomllib reads from the same text."""

import tomllib
from collections.abc import Iterator

import pytest

from engine.config.places import Path, lines_of

DOCUMENT = '''\
first = 1

[engine] # a comment
log = "a # b"

[ groups . "the cache" ]
mode = 'active-standby'
probe = { interval = "1s", rise = 5, deep = { er = [1, 2] } }
failover.delay.crash = "0s"
text = """
[not.a.table]
key = "no" \\""" ends here"""
raw = \'\'\'
a = 1\'\'\'\'\'
when = 1979-05-27 07:32:00

[[groups."the cache".masters]]
id = "a"
[groups."the cache".masters.more]
x = 1

[[groups."the cache".masters]]
id = "b" # [[no]]
location = [
  51.5, # comment, with ] bracket
  -0.13,
]

[[rows]]
list = [ { id = 1 },
  { id = 2 } ]
[[rows.sub]]
n = 1
[[rows.sub]]
n = 2
'''


def paths(value: object, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths(inner, (*path, index))


def test_every_path_that_tomllib_reads_has_a_line_and_no_other_has() -> None:
    assert set(lines_of(DOCUMENT)) == set(paths(tomllib.loads(DOCUMENT)))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("first",), 1),
        (("engine",), 3),
        (("engine", "log"), 4),
        (("groups",), 6),
        (("groups", "the cache", "probe", "deep", "er", 1), 8),
        (("groups", "the cache", "failover", "delay", "crash"), 9),
        (("groups", "the cache", "text"), 10),
        (("groups", "the cache", "raw"), 13),
        (("groups", "the cache", "when"), 15),
        (("groups", "the cache", "masters"), 17),
        (("groups", "the cache", "masters", 0, "more", "x"), 20),
        (("groups", "the cache", "masters", 1), 22),
        (("groups", "the cache", "masters", 1, "location"), 24),
        (("groups", "the cache", "masters", 1, "location", 1), 26),
        (("rows", 0, "list", 1, "id"), 31),
        (("rows", 0, "sub", 1, "n"), 35),
    ],
)
def test_a_path_has_the_line_it_was_first_named_on(path: Path, line: int) -> None:
    assert lines_of(DOCUMENT)[path] == line


def test_lines_are_the_same_with_the_line_ends_of_windows() -> None:
    assert lines_of(DOCUMENT.replace("\n", "\r\n")) == lines_of(DOCUMENT)


def test_keys_in_quotes_are_named_as_tomllib_names_them() -> None:
    text = '"a\\u0041\\t\\"." = 1\n\'b\\n\' = 2\n"" = 3\n'
    assert set(lines_of(text)) == {(key,) for key in tomllib.loads(text)}


def test_an_empty_text_has_no_places() -> None:
    assert lines_of("") == lines_of("\n# nothing\n") == {}
