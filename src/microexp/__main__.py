"""`python -m microexp` is the same as `microexp`."""

from microexp.commands.main import main

if __name__ == "__main__":
    raise SystemExit(main())
