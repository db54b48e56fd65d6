"""`python -m worker serve` takes jobs from the service; `python -m worker train` trains one job with no service at
all."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from worker.allocator import trainer_environment


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_arguments(arguments)
    return serve() if options.command == "serve" else train(options)


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m worker", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="take jobs until SIGTERM; settings come from TRAINWRIGHT_* variables")
    command = commands.add_parser("train", help="train one job here, without the service")
    command.add_argument("job", type=Path, help="the job spec, as JSON; its dataset.id may be anything")
    command.add_argument("--data", type=Path, required=True, help="a packed folder, or an upload to pack")
    command.add_argument("--out", type=Path, required=True, help="where metrics, checkpoints and the result go")
    command.add_argument("--device", default="cpu", help="cpu or cuda")
    command.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="part of what makes runs equal")
    command.add_argument("--checkpoint", type=Path, help="the weights that the spec's `warm_start` means")
    command.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in --out")
    command.add_argument(
        "--as-is", action="store_true", help="keep this process, with the environment it was started with"
    )
    return parser.parse_args(arguments)


def serve() -> int:
    from models.settings import Settings
    from worker.app import serve as serve_with

    try:
        settings = Settings()
    except ValidationError as error:
        for one in error.errors(include_input=False):
            name = "_".join(str(part) for part in one["loc"]).upper()
            sys.stderr.write(f"TRAINWRIGHT_{name}: {one['msg']}\n")
        return 2
    serve_with(settings)
    return 0


def train(options: argparse.Namespace) -> int:
    if not options.as_is:
        start_again_tuned(options.threads)
    from worker.alone import train_alone  # brings torch, which a serving worker never imports

    return train_alone(
        options.job,
        options.data,
        options.out,
        device=options.device,
        threads=options.threads,
        resume=options.resume,
        checkpoint=options.checkpoint,
    )


def start_again_tuned(threads: int) -> None:
    """The allocator reads its settings when a process starts, so this one starts once more, with them set."""
    wanted = trainer_environment(threads)
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        command = [sys.executable, "-m", "worker", *sys.argv[1:], "--as-is"]
        os.execve(sys.executable, command, {**os.environ, **wanted})  # noqa: S606  no shell, our own interpreter


if __name__ == "__main__":
    sys.exit(main())
