"""Where each key of a TOML text stands: `tomllib` gives values without lines.

The text must be one that `tomllib` has read, so this walk need not refuse anything: it follows
table headers, dotted keys, inline tables and arrays, steps over strings and comments, and notes
the line on which each key was first named. A path is ("groups", "cache", "masters", 0, "id").
"""

import re
from typing import Final

Path = tuple[str | int, ...]

_QUOTES: Final = ('"""', "'''", '"', "'")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR: Final = re.compile(r"[^,\]}#\n]*")
_COMMENT: Final = re.compile(r"#[^\n]*")
_ESCAPES: Final = re.compile(r'\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([btnfr"\\]))')
_ESCAPED: Final = {
    "b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\",
}  # fmt: skip


class _Walk:
    """One pass over the text; `at` is how far it came."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.lines: dict[Path, int] = {}
        self.sizes: dict[Path, int] = {}  # of the arrays of tables, by path

    def run(self) -> None:
        table: Path = ()
        while self.skip(newlines=True):
            if self.text.startswith("[[", self.at):
                self.move(2)
                table = self.element(self.keys())
                self.move(2)
            elif self.text[self.at] == "[":
                self.move(1)
                table = self.note((), self.keys())
                self.move(1)
            else:
                self.pair(table)

    def move(self, count: int) -> None:
        self.line += self.text.count("\n", self.at, self.at + count)
        self.at += count

    def skip(self, *, newlines: bool) -> bool:
        """Step over blanks and comments; return whether anything is left."""
        blanks = " \t\r\n" if newlines else " \t"
        while self.at < len(self.text):
            if self.text[self.at] in blanks:
                self.move(1)
            elif newlines and (comment := _COMMENT.match(self.text, self.at)):
                self.move(len(comment[0]))
            else:
                return True
        return False

    def keys(self) -> list[str]:
        """Return the parts of a dotted key."""
        parts = []
        while True:
            self.skip(newlines=False)
            bare = _BARE.match(self.text, self.at)
            if bare is None:
                parts.append(self.string())
            else:
                parts.append(bare[0])
                self.move(len(bare[0]))
            self.skip(newlines=False)
            if self.text[self.at] != ".":
                return parts
            self.move(1)

    def string(self) -> str:
        """Step over a string and return it, its escapes resolved as keys need them."""
        quote = next(mark for mark in _QUOTES if self.text.startswith(mark, self.at))
        end = self.at + len(quote)
        while not self.text.startswith(quote, end):
            end += 2 if quote[0] == '"' and self.text[end] == "\\" else 1
        # A long string may end in one or two quotes of its own.
        while len(quote) == 3 and self.text.startswith(quote, end + 1):
            end += 1
        inner = self.text[self.at + len(quote) : end]
        self.move(end + len(quote) - self.at)
        return _ESCAPES.sub(_unescaped, inner) if quote[0] == '"' else inner

    def pair(self, table: Path) -> None:
        path = self.note(table, self.keys())
        self.move(1)  # the equals sign
        self.value(path)

    def value(self, path: Path) -> None:
        self.skip(newlines=True)
        opening = self.text[self.at]
        if opening in "\"'":
            self.string()
        elif opening == "[":
            self.listed(path, closing="]")
        elif opening == "{":
            self.listed(path, closing="}")
        else:
            scalar = _SCALAR.match(self.text, self.at)
            self.move(len(scalar[0]) if scalar else 0)

    def listed(self, path: Path, *, closing: str) -> None:
        """Step over an array or an inline table, noting what is in it."""
        self.move(1)
        index = 0
        while self.skip(newlines=True) and self.text[self.at] != closing:
            if self.text[self.at] == ",":
                self.move(1)
            elif closing == "]":
                self.lines.setdefault((*path, index), self.line)
                self.value((*path, index))
                index += 1
            else:
                self.pair(path)
        self.move(1)

    def note(self, table: Path, keys: list[str]) -> Path:
        """Return the full path of `keys` in `table`; each part not seen before is noted here."""
        path = table
        for key in keys:
            if path in self.sizes:  # a table below an array of tables is one of its last element
                path = (*path, self.sizes[path] - 1)
            path = (*path, key)
            self.lines.setdefault(path, self.line)
        return path

    def element(self, keys: list[str]) -> Path:
        """Return the path of a new element of the array of tables `keys`."""
        array = self.note((), keys)
        self.sizes[array] = self.sizes.get(array, 0) + 1
        path = (*array, self.sizes[array] - 1)
        self.lines[path] = self.line
        return path


def _unescaped(found: re.Match[str]) -> str:
    if found[3] is not None:
        return _ESCAPED[found[3]]
    return chr(int(found[1] or found[2], 16))


def lines_of(text: str) -> dict[Path, int]:
    r"""Return the line [count, >= 1] of every key, table and array element of a valid TOML text.

    Example:
        >>> lines_of("[a]\nb = 1\n[[a.c]]\nd = { e = 2 }")[("a", "c", 0, "d", "e")]
        4
    """
    walk = _Walk(text)
    walk.run()
    return walk.lines
