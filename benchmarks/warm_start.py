"""From asking for a trainer to its first optimizer step: a fresh Python against a child of the forkserver.

The numbers behind docs/why/two-processes.md. Usage: python -m benchmarks.warm_start [MODULE...]
"""

import multiprocessing
import statistics
import subprocess
import sys
import time

ROUNDS = 7
PRELOADED = ["torch", "torch._dynamo", "torch.optim"]


def take_a_step() -> None:
    """One step of Adam on a small network."""
    import torch

    torch.set_num_threads(1)
    network = torch.nn.Linear(8, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.zeros(4, 8)).sum().backward()
    optimizer.step()


def fresh() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "from benchmarks import warm_start; warm_start.take_a_step()"], check=True)
    return time.perf_counter() - began


def forked(modules: list[str]) -> list[float]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(modules)
    seconds = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        trainer = context.Process(target=take_a_step)
        trainer.start()
        trainer.join()
        assert trainer.exitcode == 0
        seconds.append(time.perf_counter() - began)
    return seconds[1:]  # the first one waited for the server to have imported everything


def main(modules: list[str]) -> None:
    if modules:
        report(f"a forkserver with {', '.join(modules)}", forked(modules))
        return
    report("a fresh Python", [fresh() for _ in range(ROUNDS)])
    for preloaded in (PRELOADED[:1], PRELOADED):  # each in a process of its own: there is one forkserver a process
        subprocess.run([sys.executable, "-m", "benchmarks.warm_start", *preloaded], check=True)


def report(name: str, seconds: list[float]) -> None:
    sys.stdout.write(f"{name}: {statistics.median(seconds):.3f} s (worst {max(seconds):.3f})\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
