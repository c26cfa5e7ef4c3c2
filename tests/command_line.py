"""The command line as a user calls it, and git beside it."""

import os
import subprocess
from pathlib import Path

from click.testing import CliRunner
from repositories import AUTHOR

from crossfool.cli.main import main


def git(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, **AUTHOR, "GIT_CONFIG_GLOBAL": os.devnull}
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout


def told(*arguments: str, code: int = 0) -> str:
    """Run the command and return its output; assert its exit code, and that an error is one line."""
    done = CliRunner().invoke(main, list(arguments))
    assert done.exit_code == code, done.output
    if code == 2 and not done.output.startswith("Usage"):
        assert done.output.startswith("error: ") and done.output.count("\n") == 1, done.output
    return done.output
