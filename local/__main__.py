"""`python -m local up` and `python -m local demo`."""

import argparse
import sys
from pathlib import Path

from client.access import data_folder
from local import up


def main() -> int:
    arguments = _parser().parse_args()
    match arguments.command:
        case "up":
            return up.main(arguments.data, arguments.port)
        case _:
            from local.demo import main as demo  # brings rich and the client, which `up` does not need

            return demo(arguments.data, arguments.port, keep=arguments.keep)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description="Trainwright on this machine alone.")
    commands = parser.add_subparsers(dest="command", required=True)
    up_ = commands.add_parser("up", help="run the service until Ctrl-C")
    up_.add_argument("--data", type=Path, default=data_folder(), help="keeps everything (default: %(default)s)")
    demo_ = commands.add_parser("demo", help="train two networks on real images and compare them")
    demo_.add_argument("--data", type=Path, help="a data folder to use (default: a fresh one, removed at the end)")
    demo_.add_argument("--keep", action="store_true", help="leave the service up at the end, until Ctrl-C")
    for each in (up_, demo_):
        each.add_argument("--port", type=int, help="where the API listens (default: 8000, or the next one free)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
