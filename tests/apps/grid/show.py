"""Prints the grid that the tests of tests/it/grid.rs left in a folder: python3 show.py FOLDER"""

import sys
from pathlib import Path

COLUMNS = "rust c go javascript quickjs python".split()


def main(folder):
    cells, reasons = {}, []
    for column in COLUMNS:
        for line in (Path(folder) / column).read_text().splitlines():
            row, isolation, cell = line.split("\t")
            cells.setdefault(row, {}).setdefault(column, {})[isolation] = cell

    def shown(row, column):
        seen = set(cells[row][column].values())
        if seen == {"ok"}:
            return "ok"
        if "RED" in seen:
            return "RED " + ", ".join(name for name, cell in cells[row][column].items() if cell == "RED")
        reason = f"{column}, {row}: {' '.join(seen)}"
        if reason not in reasons:
            reasons.append(reason)
        return f"({reasons.index(reason) + 1})"

    width = max(map(len, cells))
    print(f"{'':{width}}  " + "  ".join(f"{column:10}" for column in COLUMNS))
    for row in cells:
        print(f"{row:{width}}  " + "  ".join(f"{shown(row, column):10}" for column in COLUMNS))
    print("ok: with a fresh instance for each request, and with one that is reused; rows `in one instance` only there")
    for number, reason in enumerate(reasons, 1):
        print(f"({number}) {reason}")


main(*sys.argv[1:])
