"""`trainwright`, also as `python -m trainwright.command_line`."""

import sys


def main() -> None:
    try:
        import typer  # noqa: F401
    except ImportError:
        sys.exit("The command line needs two more packages: pip install 'trainwright[cli]'")
    from .app import app
    from .failures import tell

    try:
        app(prog_name="trainwright")
    except Exception as error:
        code = tell(error)
        if code is None:
            raise
        sys.exit(code)


if __name__ == "__main__":
    main()
