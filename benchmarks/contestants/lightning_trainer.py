"""The plain loop's parts under Lightning's trainer, with everything off that only watches."""

from typing import Any

import lightning
import torch
from torch import Tensor

from benchmarks.contestants.networks import loss_of, network_of, optimizer_of, schedule_of
from benchmarks.contestants.race import Race, enter
from benchmarks.contestants.samples import loader_of


class Module(lightning.LightningModule):
    def __init__(self, race: Race) -> None:
        super().__init__()
        self.race = race
        self.network = network_of(race)

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return loss_of(self.race, self.network, *batch)

    def configure_optimizers(self) -> Any:
        optimizer = optimizer_of(self.race, self.network)
        return [optimizer], [{"scheduler": schedule_of(self.race, optimizer), "interval": "step"}]

    def on_train_batch_end(self, *_: Any) -> None:
        self.race.step_done()


def run(race: Race) -> None:
    torch.set_num_threads(race.threads)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=-1,
        gradient_clip_val=1.0 if race.clips else None,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(race), loader_of(race))


if __name__ == "__main__":
    run(enter("torch", "lightning"))
