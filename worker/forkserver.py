"""What the trainers' server imports before it forks any: all of torch that a first step needs, and what runs in them.

Importing is also where the server binds its life to its worker's, for nothing else of ours ever runs in it.
"""

import gc

gc.disable()  # what is imported stays: to look through it again and again takes a fifth of the time

import torch._dynamo  # noqa: E402
import torch.optim  # noqa: E402, F401

import worker.preview  # noqa: E402
import worker.trainer  # noqa: E402, F401
from worker.processes import die_with_parent  # noqa: E402

gc.freeze()
gc.enable()
die_with_parent()
