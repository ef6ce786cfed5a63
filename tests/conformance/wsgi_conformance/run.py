"""Runs cases, and makes results of them: plain data, one for each case and version, and one for each rule that has no case."""

from .cases import Stalled, Unanswered, Unasked, load
from .rules import RULES
from .wire import Wire

LONGEST = 400


def shortened(value):
    text = repr(value)
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def run(url, only=None, versions=("1.1", "1.0"), clock=None, patience=5.0, watch=lambda result: None):
    """The results of all cases, or of those of the rules ``only``. ``patience``: seconds that an answer is waited for. ``watch`` sees each as it comes."""
    rules = {rule.id: rule for rule in RULES}
    wanted = {name.upper() for name in only or rules}
    unknown = wanted - rules.keys()
    if unknown:
        raise SystemExit(f"no such rule: {', '.join(sorted(unknown))}")
    cases, results = load(), []
    remember(Wire(url))
    for case in cases:
        for version in versions:
            if case.id in wanted and version in case.http:
                result = run_case(url, case, rules[case.id], version, clock, patience)
                watch(result)
                results.append(result)
    proven = {case.id for case in cases}
    for rule in RULES:
        if rule.id in wanted and rule.id not in proven:
            outcome = "deferred" if rule.deferred else "beside"
            results.append(told(rule, rule.text, None, outcome, why=rule.deferred or rule.beside))
    return results


def remember(wire):
    """Many rules are seen in what the application notes; so it has to keep its notes."""
    token = wire.token()
    try:
        reply = wire.ask("hello", headers=[("X-Note", token)])
    except OSError as error:
        raise SystemExit(f"{wire.host}:{wire.port} does not answer: {error}") from error
    if reply.text != "hello":
        raise SystemExit(f"{wire.host}:{wire.port} does not serve wsgi_conformance.app:application")
    for _ in range(3):
        if wire.ask("notes", target=f"/?{token}").json != ["called"]:
            raise SystemExit("the application does not keep its notes: set WSGI_CONFORMANCE_NOTES to a folder that it may write")


def run_case(url, case, rule, version, clock, patience):
    wire = Wire(url, version, patience)
    wire.clock = clock
    checks, outcome, why = [], "passed", ""
    try:
        for what, expected, came in case.run(wire):
            holds = expected == came
            checks.append({"what": what, "expected": shortened(expected), "came": shortened(came), "holds": holds})
        if not all(check["holds"] for check in checks):
            outcome = "failed"
        elif not checks:
            outcome, why = "unasked", "the server does not offer it"
    except Unasked as unasked:
        outcome, why = "unasked", str(unasked)
    except (Stalled, Unanswered) as missing:
        checks.append({"what": "the rest", "expected": "an answer", "came": str(missing), "holds": False})
        outcome = "failed"
    except Exception as error:
        # An answer that nobody thought of, or none.
        checks.append({"what": "the rest", "expected": "an answer that can be understood", "came": shortened(error), "holds": False})
        outcome = "failed"
    result = told(rule, case.title, version, outcome, why)
    result["level"] = case.level or rule.level
    result["case"] = case.name
    result["sent"] = [shortened(data) for data in wire.sent]
    result["checks"] = checks
    return result


def told(rule, title, version, outcome, why=""):
    return {"id": rule.id, "level": rule.level, "source": rule.source, "title": title, "http": version, "outcome": outcome, "why": why, "case": None, "sent": [], "checks": []}
