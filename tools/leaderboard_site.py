"""Write the leaderboard's page into .crossfool/leaderboard, as `make site` does.

python tools/leaderboard_site.py [--before REVISION] [--out FOLDER]
"""

import argparse
import subprocess
import sys
from pathlib import Path

from crossfool.errors import UserError
from crossfool.report.leaderboard import site
from crossfool.report.leaderboard.rank_changes import read_before

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the leaderboard as a static page.")
    parser.add_argument("--before", metavar="REVISION", help="show what ranks have changed since this git revision")
    parser.add_argument("--out", type=Path, default=ROOT / ".crossfool" / "leaderboard", help="the folder to write")
    given = parser.parse_args()
    try:
        before = read_before(ROOT, given.before) if given.before else None
        for line in site.write_site(ROOT, given.out, before=before, revision=revision()):
            print(f"left out: {line}", file=sys.stderr)
    except UserError as error:
        sys.exit(f"error: {error}")
    print(given.out / "index.html")


def revision() -> str:
    """The commit of the repository, marked where files differ from it; "" without git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


if __name__ == "__main__":
    main()
