"""The cases: what is sent, what is expected, what came. A case is a generator of comparisons; it holds when all of them do."""

from dataclasses import dataclass

CASES = []
BOTH = ("1.0", "1.1")
NEW = ("1.1",)


@dataclass
class Case:
    id: str
    title: str
    http: tuple
    level: str
    run: object

    @property
    def name(self):
        return f"{self.id.lower()}_{self.run.__name__}"


class Stalled(Exception):
    """The server has stopped answering; the rest of the case would only wait."""


class Unanswered(Exception):
    """The application's own answer is missing, on which all the rest depends."""


class Unasked(Exception):
    """The server does not offer what the case is about, and need not."""


def case(id, title, http=BOTH, level=None):
    """``level``: where a case asks for more than its rule."""

    def add(function):
        CASES.append(Case(id, title, http, level, function))
        return function

    return add


class OneOf:
    """Any of these is right."""

    def __init__(self, *values):
        self.values = values

    def __eq__(self, other):
        return other in self.values

    def __repr__(self):
        return " or ".join(map(repr, self.values))


class Where:
    """What the words say is right."""

    def __init__(self, words, holds):
        self.words, self.holds = words, holds

    def __eq__(self, other):
        return bool(self.holds(other))

    def __repr__(self):
        return self.words


def load():
    from . import body, environ, framing, input, start_response  # noqa: F401

    return sorted(CASES, key=lambda found: (found.id[0], int(found.id[1:])))
