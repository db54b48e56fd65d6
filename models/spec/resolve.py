"""What a spec means on a data set: the same spec with every default filled in, those that depend on the data too.

A resolved spec is a spec. Resolving it again changes nothing.
"""

from typing import Any, TypeVar, assert_never

from .checkpoints import Checkpoints, KeepBest
from .dataset import Dataset
from .evaluation import Evaluation
from .image_layers import convnext_stages, stem_of, vit_patch
from .images import Convnext, Vgg, Vit, WideResnet
from .initialization import AnyInitialization, KaimingNormal, XavierNormal, XavierUniform
from .job import JobSpec
from .layers import activations_of, cnn_pooling, resnet_width
from .loss import BinaryCrossEntropy, CrossEntropy, Loss, MeanSquaredError
from .manifest import Manifest
from .metrics import better, usual_top_k
from .network import AnyLayer, AveragePooling, Cnn, MaxPooling, Mlp, Network, Resnet, Sequential
from .plan import ShapeMismatch
from .regularization import Regularization, Sam, usual_rho
from .schedule import Cyclic, InverseSqrt, Plateau, Schedule, Sequence, step_down_of, timescale_of
from .sequence_layers import EMBEDDING, steps_of
from .sequences import Gru, Lstm, Rnn, Transformer
from .task import Task, task_of
from .technique import Technique
from .text import MultiHot, Text
from .training import EarlyStopping, Training
from .warm_start_check import Earlier, resolve_warm_start

AnyTechnique = TypeVar("AnyTechnique", bound=Technique)
Watcher = TypeVar("Watcher", Plateau, EarlyStopping, KeepBest)

SATURATING = {"tanh", "sigmoid"}


def resolve(spec: JobSpec, manifest: Manifest, earlier: Earlier | None = None) -> JobSpec:
    """The spec with every default filled in. Raises SpecInvalid where it does not fit the data set.

    `earlier` is what a `warm_start` names; without it that stays as it is.

    What stays `null` is absent: no clipping, no warm-up, no early stopping, no time limit, no validation, the other one
    of epochs and steps, a name.
    """
    task = task_of(spec, manifest)
    return _with(
        spec,
        dataset=_dataset(spec.dataset, task),
        network=_network(spec.network, task),
        initialization=spec.initialization or default_initialization(spec.network),
        warm_start=spec.warm_start if earlier is None else resolve_warm_start(spec, task, earlier),
        loss=spec.loss or default_loss(task),
        regularization=tuple(_regularization(technique) for technique in spec.regularization),
        schedule=_schedule(spec.schedule),
        training=_training(spec.training),
        evaluation=_evaluation(spec.evaluation, task),
        checkpoints=_checkpoints(spec.checkpoints, task),
    )


def default_loss(task: Task) -> Loss:
    """The loss of a spec that names none."""
    match task.kind:
        case "multiclass":
            return CrossEntropy()
        case "binary" | "multi_label":
            return BinaryCrossEntropy()
        case "regression":
            return MeanSquaredError()
        case _:
            assert_never(task.kind)


def default_initialization(network: Network) -> AnyInitialization:
    """The start of a spec that names none: He's, or Xavier's where every activation is tanh or sigmoid, and in encoders
    with attention.
    """
    if isinstance(network, Vit | Transformer):
        return XavierUniform()
    activations = set(activations_of(network))
    return XavierNormal() if activations and activations <= SATURATING else KaimingNormal()


def _with(technique: AnyTechnique, **values: Any) -> AnyTechnique:
    return technique.model_copy(update=values)


def _dataset(dataset: Dataset, task: Task) -> Dataset:
    size = (task.input_shape[1], task.input_shape[2]) if len(task.input_shape) == 3 else None
    class_mode = "categorical" if task.kind == "multiclass" else task.kind
    target = dataset.target or (task.targets[0] if task.targets else None)
    return _with(
        dataset,
        image_size=size,
        target=target,
        features=task.features or None,
        text=_text(dataset, task),
        class_mode=class_mode,
    )


def _text(dataset: Dataset, task: Task) -> Text | None:
    return _with(dataset.text or MultiHot(), columns=task.texts) if task.texts else None


def _network(network: Network, task: Task) -> Network:
    match network:
        case Sequential():
            return _with(network, layers=tuple(_layer(layer) for layer in network.layers))
        case Mlp():
            return network
        case Cnn():
            return _with(network, pooling=cnn_pooling(network, task.input_shape))
        case Resnet():
            stem = stem_of(network.stem, task.input_shape)
            return _with(network, width=resnet_width(network), stem=stem)
        case WideResnet() | Vgg():
            return network
        case Convnext():
            depths, widths = convnext_stages(network)
            return _with(network, depths=depths, widths=widths, stem=stem_of(network.stem, task.input_shape))
        case Vit():
            return _with(network, patch=vit_patch(network, task.input_shape))
        case Rnn() | Lstm() | Gru():
            return with_embedding(_with(network, sequence_length=_length(network, task)), task)
        case Transformer():
            return _with(network, sequence_length=_length(network, task))
        case _:
            assert_never(network)


def with_embedding(network: Network, task: Task) -> Network:
    """With the width of the embedding filled in where the network has one."""
    if isinstance(network, Rnn | Lstm | Gru) and task.vocabulary:
        return _with(network, embedding=network.embedding or EMBEDDING)
    return network


def _length(network: Rnn | Lstm | Gru | Transformer, task: Task) -> int | None:
    """The steps of a sequence; what does not fit stays as it is, for the check to tell."""
    if task.vocabulary:
        return network.sequence_length or task.input_shape[0]
    try:
        return steps_of(network, task.input_shape)[0]
    except ShapeMismatch:
        return network.sequence_length


def _layer(layer: AnyLayer) -> AnyLayer:
    if isinstance(layer, MaxPooling | AveragePooling):
        return _with(layer, stride=layer.stride or layer.size)
    return layer


def _regularization(technique: Regularization) -> Regularization:
    return _with(technique, rho=usual_rho(technique)) if isinstance(technique, Sam) else technique


def _schedule(schedule: Schedule) -> Schedule:
    match schedule:
        case Plateau():
            return _with_mode(schedule)
        case Cyclic():
            return _with(schedule, step_down=step_down_of(schedule))
        case InverseSqrt():
            return _with(schedule, timescale=timescale_of(schedule))
        case Sequence():
            phases = [_with(phase, schedule=_schedule(phase.schedule)) for phase in schedule.phases]
            return _with(schedule, phases=tuple(phases))
        case _:
            return schedule


def _training(training: Training) -> Training:
    if training.early_stopping is None:
        return training
    return _with(training, early_stopping=_with_mode(training.early_stopping))


def _evaluation(evaluation: Evaluation, task: Task) -> Evaluation:
    return _with(evaluation, top_k=evaluation.top_k or usual_top_k(task))


def _checkpoints(checkpoints: Checkpoints, task: Task) -> Checkpoints:
    best = checkpoints.keep_best or _default_best(task)
    return _with(checkpoints, keep_best=_with_mode(best))


def _default_best(task: Task) -> KeepBest:
    if not task.validation:
        return KeepBest(metric="train/loss")
    return KeepBest(metric="validation/loss" if task.kind == "regression" else "validation/accuracy")


def _with_mode(watcher: Watcher) -> Watcher:
    return _with(watcher, mode=better(watcher.metric)) if watcher.mode == "auto" else watcher
