"""`python -m crossfool`: the command `crossfool`."""

from crossfool.cli.main import main

if __name__ == "__main__":
    main(prog_name="crossfool")
