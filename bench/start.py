"""How long the terminal takes to answer, against a Python that does nothing.

    python bench/start.py

Each round starts every command once, in turn, so that a busy machine slows all alike; the
medians are compared.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROUNDS = 15
BARE = "python -c pass"


def seconds_by_command(
    commands: Mapping[str, Sequence[str]], folder: Path
) -> dict[str, list[float]]:
    """Seconds of each start, by command."""
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(ROUNDS + 1):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
            if number:  # the first round fills caches
                taken[name].append(time.perf_counter() - began)
    return taken


def main() -> None:
    """Print milliseconds and ratios."""
    imt = [sys.executable, "-c", "import sys; from imtkit.cli import main; sys.exit(main())"]
    commands = {
        BARE: [sys.executable, "-c", "pass"],
        "imt --help": [*imt, "--help"],
        "imt incident open --help": [*imt, "incident", "open", "--help"],
        "imt incident list": [*imt, "incident", "list"],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([*imt, "init", "."], cwd=folder, check=True, capture_output=True)
        opening = ["incident", "open", "--title", "For the list", "--actor", "Ann Example"]
        subprocess.run([*imt, *opening], cwd=folder, check=True, capture_output=True)
        taken = seconds_by_command(commands, folder)
    bare = statistics.median(taken[BARE])
    for command, seconds in taken.items():
        middle = statistics.median(seconds)
        print(f"{command:28} {middle * 1000:7.1f} ms   {middle / bare:5.1f} ×")


if __name__ == "__main__":
    main()
