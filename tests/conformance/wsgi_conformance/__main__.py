"""``python -m wsgi_conformance --url http://127.0.0.1:8000``: holds a server to the rules, and says of each whether it holds."""

import argparse
import json
import sys

from .run import run


def main():
    parser = argparse.ArgumentParser(prog="wsgi_conformance", description=__doc__)
    parser.add_argument("--url", required=True, help="where wsgi_conformance.app:application is served")
    parser.add_argument("--only", action="append", metavar="S41", help="this rule only; may be given again")
    parser.add_argument("--http", action="append", choices=("1.0", "1.1"), help="this version only [default: both]")
    parser.add_argument("--clock", type=float, metavar="SECONDS", help="how long the server was told to wait for heads and requests; not asked otherwise")
    parser.add_argument("--strict", action="store_true", help="end with status 1 also for what is only recommended")
    parser.add_argument("--json", action="store_true", help="print JSON: all that was sent, expected, and came")
    typed = parser.parse_args()
    if not typed.url.startswith("http://"):
        parser.error("--url is like http://127.0.0.1:8000")
    results = run(typed.url, typed.only, typed.http or ["1.1", "1.0"], typed.clock)
    if typed.json:
        json.dump(results, sys.stdout, indent=1)
        print()
    else:
        show(results)
    failed = [result for result in results if result["outcome"] == "failed"]
    sys.exit(any(typed.strict or result["level"] == "MUST" for result in failed))


def show(results):
    for result in results:
        version = f" (HTTP/{result['http']})" if result["http"] else ""
        print(f"{result['outcome']:8} {result['id']:4} {result['level']:6} {result['title']}{version}")
        if result["outcome"] != "failed":
            continue
        print(f"         {result['source']}")
        for check in result["checks"]:
            if not check["holds"]:
                print(f"         {check['what']}: expected {check['expected']}, came {check['came']}")
    count = {outcome: sum(result["outcome"] == outcome for result in results) for outcome in ("passed", "failed", "unasked", "beside", "deferred")}
    print(", ".join(f"{number} {outcome}" for outcome, number in count.items()))


if __name__ == "__main__":
    main()
