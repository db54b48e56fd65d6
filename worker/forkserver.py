"""What the trainers' server imports before it forks any: all of torch that a first step needs, and what runs in them.

Importing is also where the server binds its life to its worker's, for nothing else of ours ever runs in it.
"""

import torch._dynamo
import torch.optim  # noqa: F401

import worker.preview
import worker.trainer  # noqa: F401
from worker.processes import die_with_parent

die_with_parent()
