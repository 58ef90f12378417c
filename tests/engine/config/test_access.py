"""Who may ask for what, as a file says it."""

from engine.config.access import Grant
from engine.config.loading import parse
from engine.config.secrets import Secret
from tests.engine.config.test_mistakes import mistakes, small


def test_names_have_a_role_and_say_where_their_token_is() -> None:
    text = (
        f"{small()}[auth]\n"
        'ann = { role = "operate", token = { env = "ANN" } }\n'
        'page = { role = "read", token = { file = "page.token" } }\n'
    )
    found = parse(text, source="t.toml")
    assert found.auth == (
        Grant(name="ann", role="operate", token=Secret(env="ANN")),
        Grant(name="page", role="read", token=Secret(file="page.token")),
    )
    # They are this engine's and no policy: the log has nothing of them.
    assert found.digest == parse(small(), source="t.toml").digest


def test_what_is_no_grant_is_named() -> None:
    text = (
        f"{small()}[auth]\n"
        'ann = { role = "root", token = { env = "ANN" } }\n'
        'bob = { role = "read", token = "hunter2" }\n'
        'eve = { role = "read", token = { env = "EVE" }, more = 1 }\n'
        '"2nd" = { role = "read", token = { env = "X" } }\n'
        "joe = 1\n"
    )
    found = mistakes(text)
    says = (
        'auth.ann.role: expected "read" or "report" or "operate" or "admin"',
        "auth.bob.token: expected a place of a secret",
        "auth.eve.more: expected one of role, token",
        "auth.2nd: expected a name",
        "auth.joe: expected a table",
    )
    assert len(found) == len(says), found
    for one, said in zip(found, says, strict=True):
        assert said in one
        assert "hunter2" not in one or said.startswith("auth.bob")


def test_a_file_without_it_names_nobody() -> None:
    assert parse(small(), source="t.toml").auth == ()
