"""Whether a spec fits its data set and itself: what must be changed, and what is legal but usually not meant."""

from collections.abc import Iterator, Sequence
from itertools import chain
from math import prod
from typing import assert_never

from .augmentation_check import augmentation_errors, augmentation_warnings
from .clipping import Adaptive, GlobalNorm, Norm, Value
from .errors import SpecError, SpecInvalid, SpecWarning, closest
from .estimate import Estimate, estimate_task, steps_per_epoch, total_steps
from .idle import idle_warnings
from .initialization import AnyInitialization, KaimingNormal, KaimingUniform, XavierNormal, XavierUniform
from .job import JobSpec
from .layers import (
    activations_of,
    dropout_places,
    kernel_names,
    plan_of,
)
from .loss import BinaryCrossEntropy, CrossEntropy, Focal
from .manifest import ImageManifest, Manifest, TableManifest
from .metric_check import metric_errors
from .metrics import evaluation_bytes
from .network import ActivationLayer, Dense, KernelLayer, Sequential
from .optimizer import Sgd
from .optimizer_check import optimizer_errors, optimizer_warnings, own_decay
from .places import branches, image_places, places_of
from .plan import PlannedLayer, ShapeMismatch
from .regularization import (
    L1,
    L1L2,
    L2,
    Activity,
    AlphaDropout,
    DropBlock,
    Dropout,
    DropPath,
    InjectedNoise,
    L1L2Penalty,
    L2Penalty,
    LabelSmoothing,
    MaxNorm,
    Orthogonality,
    Sam,
    SpatialDropout,
    SpectralNorm,
    WeightDecay,
)
from .resolve import SATURATING, resolve, with_embedding
from .schedule_check import schedule_errors, schedule_warnings
from .starts import start_errors, start_warnings
from .task import Task, task_of
from .technique import Technique
from .training_check import length_errors, training_errors, training_warnings
from .warm_start_check import Earlier, warm_start_errors, warm_start_warnings

SMALLEST_CLIP = 1e-6
LARGEST_MEMORY = 256 * 10**9
"""Bytes: more than any worker has, where nothing is known of the workers."""


def check(
    spec: JobSpec, manifest: Manifest, memory_bytes: int = LARGEST_MEMORY, earlier: Earlier | None = None
) -> tuple[list[SpecError], list[SpecWarning]]:
    """Every conflict of the spec with the data set, itself and the workers' memory, and every warning.

    `earlier` is the checkpoint that a `warm_start` names, if there is one of that name.
    """
    task, layers, errors = _plan(spec, manifest)
    if task is not None:
        spec = spec.model_copy(update={"network": with_embedding(spec.network, task)})
    errors += chain(
        metric_errors(spec, task),
        augmentation_errors(spec, manifest, task),
        _places(spec, layers),
        _clipping(spec),
        optimizer_errors(spec, layers),
        start_errors(spec, layers) if layers else (),
        training_errors(spec),
        _normalization(spec, manifest),
    )
    if task is not None:
        errors += chain(
            _class_weights(spec, task), _weighed_activity(spec), _smoothing(spec, task), _noise(spec, task),
            _lengths(spec, task),
        )  # fmt: skip
    if task is None or not layers:
        return errors, []
    cost = estimate_task(spec, task, layers)
    errors += chain(
        _last_layer(spec, task, layers),
        _memory(spec, task, cost, memory_bytes),
        warm_start_errors(spec, task, layers, earlier),
    )
    if errors:
        return errors, []
    return [], [*_warnings(spec, manifest, task, cost), *warm_start_warnings(spec, task, layers, earlier)]


def _plan(spec: JobSpec, manifest: Manifest) -> tuple[Task | None, tuple[PlannedLayer, ...], list[SpecError]]:
    try:
        task = task_of(spec, manifest)
    except SpecInvalid as invalid:
        return None, (), list(invalid.errors)
    try:
        return task, plan_of(spec.network, task), []
    except ShapeMismatch as mismatch:
        return task, (), [SpecError(mismatch.pointer, "shape", mismatch.detail)]


def _places(spec: JobSpec, layers: tuple[PlannedLayer, ...]) -> Iterator[SpecError]:
    for index, technique in enumerate(spec.regularization):
        pointer = f"/regularization/{index}"
        match technique:
            case L1() | L2() | L1L2() | MaxNorm() | Orthogonality() | SpectralNorm():
                if technique.target != "kernels":
                    yield from _unknown_layers(f"{pointer}/target", technique.target, kernel_names(spec.network))
            case Dropout() | SpatialDropout() | AlphaDropout() | DropBlock() | Activity():
                yield from _place(spec, technique, layers, pointer)
            case DropPath():
                if layers and not branches(layers):
                    detail = "This network has no residual branches to leave out: a `resnet` has"
                    yield SpecError(pointer, "no_place", detail)
            case InjectedNoise() | LabelSmoothing() | WeightDecay():
                pass
            case Sam():
                if any(isinstance(one, Sam) for one in spec.regularization[:index]):
                    yield SpecError(pointer, "twice", "`sam` stands in the list already: a step climbs once")
            case _:
                assert_never(technique)


def _place(
    spec: JobSpec,
    technique: Dropout | SpatialDropout | AlphaDropout | DropBlock | Activity,
    layers: tuple[PlannedLayer, ...],
    pointer: str,
) -> Iterator[SpecError]:
    on_images = isinstance(technique, SpatialDropout | DropBlock)
    if on_images and not layers:
        return
    places = image_places(spec.network, layers) if on_images else dropout_places(spec.network)
    if not isinstance(technique.after, str):
        yield from _unknown_layers(f"{pointer}/after", technique.after, places)
    elif (layers or isinstance(technique, Dropout)) and not places_of(technique, spec.network, layers):
        detail = (
            "No layer of this network gives images"
            if on_images
            else "The head of this network has no hidden layer for it to stand behind: name layers in `after`"
        )
        where = f"{pointer}/after" if "after" in technique.model_fields_set else pointer
        yield SpecError(where, "no_place", detail, places)


def _unknown_layers(pointer: str, names: Sequence[str], known: Sequence[str]) -> Iterator[SpecError]:
    for index, name in enumerate(names):
        if name not in known:
            detail = "The network has no such layer here"
            yield SpecError(f"{pointer}/{index}", "unknown_layer", detail, known[:100], closest(name, known))


def _clipping(spec: JobSpec) -> Iterator[SpecError]:
    clipping = spec.clipping
    if isinstance(clipping, Adaptive) and clipping.exempt != "output":
        yield from _unknown_layers("/clipping/exempt", clipping.exempt, kernel_names(spec.network))
    match clipping:
        case GlobalNorm() | Norm() if clipping.max_norm < SMALLEST_CLIP:
            yield _too_small_a_clip("max_norm", "Usual norms lie between 0.1 and 10")
        case Value() if clipping.clip_value < SMALLEST_CLIP:
            yield _too_small_a_clip("clip_value", "Usual values lie between 0.01 and 1")
        case _:
            pass


def _too_small_a_clip(field: str, usual: str) -> SpecError:
    detail = (
        f"Gradients cut so short move nothing: the steps drown in rounding. {usual}; the least is {SMALLEST_CLIP}. "
        "To train more slowly, lower the learning rate"
    )
    return SpecError(f"/clipping/{field}", "clip_too_small", detail, suggestion="1.0")


def _normalization(spec: JobSpec, manifest: Manifest) -> Iterator[SpecError]:
    if spec.dataset.normalize == "unit" and not isinstance(manifest, ImageManifest):
        detail = "`unit` scales pixels to 0–1, and the data are not images"
        yield SpecError("/dataset/normalize", "not_images", detail, ["auto", "none"], "auto")


def _class_weights(spec: JobSpec, task: Task) -> Iterator[SpecError]:
    match spec.loss:
        case CrossEntropy(class_weights=tuple() as weights):
            pointer = "/loss/class_weights"
        case Focal(alpha=tuple() as weights):
            pointer = "/loss/alpha"
        case _:
            return
    if task.kind == "multi_label" and len(weights) != 2:
        detail = "Of labels there are two weights: for the absence and for the presence of each"
        yield SpecError(pointer, "wrong_length", detail)
    elif task.kind != "multi_label" and len(weights) != len(task.classes):
        detail = f"{len(weights)} weights for {len(task.classes)} classes: one each, in the order of the classes"
        yield SpecError(pointer, "wrong_length", detail, task.classes[:100])
    elif not any(weights):
        yield SpecError(pointer, "all_zero", "Weights of 0 for every class leave nothing to learn")


def _weighed_activity(spec: JobSpec) -> Iterator[SpecError]:
    """A mean over examples and one over their weights are not parts of the same whole, where a step has several."""
    is_weighed = isinstance(spec.loss, CrossEntropy) and spec.loss.class_weights != "none"
    if not is_weighed or spec.training.replicas * spec.training.accumulate == 1:
        return
    for index, technique in enumerate(spec.regularization):
        if isinstance(technique, Activity):
            detail = "`activity` with class weights needs whole batches: neither `accumulate` nor `replicas`"
            yield SpecError(f"/regularization/{index}", "conflict", detail)


def _noise(spec: JobSpec, task: Task) -> Iterator[SpecError]:
    for index, technique in enumerate(spec.regularization):
        if isinstance(technique, InjectedNoise) and technique.on == "inputs" and task.vocabulary:
            detail = "Tokens are numbers of words and have no values: noise goes on `weights` or `gradients`"
            yield SpecError(f"/regularization/{index}/on", "not_values", detail, ["weights", "gradients"])


def _smoothing(spec: JobSpec, task: Task) -> Iterator[SpecError]:
    of_classes = spec.loss is None or isinstance(spec.loss, CrossEntropy | BinaryCrossEntropy)
    if of_classes and task.kind != "regression":
        return
    for index, technique in enumerate(spec.regularization):
        if isinstance(technique, LabelSmoothing):
            detail = "Only the labels of classes are smoothed, under cross_entropy or binary_cross_entropy"
            yield SpecError(f"/regularization/{index}", "loss_does_not_fit", detail)


def _lengths(spec: JobSpec, task: Task) -> Iterator[SpecError]:
    per_epoch = steps_per_epoch(task.train, spec.training.examples_per_step)
    steps = total_steps(spec.training, per_epoch)
    yield from length_errors(spec, per_epoch, steps)
    for index, augmentation in enumerate(spec.augmentation):
        begin, end = (moment.in_steps(per_epoch, steps) for moment in (augmentation.from_, augmentation.until))
        if begin >= min(end, steps):
            detail = "It begins after its own end or the run's: it never acts"
            yield SpecError(f"/augmentation/{index}/from", "never_acts", detail)
    yield from schedule_errors(spec, per_epoch, steps)


def _last_layer(spec: JobSpec, task: Task, layers: tuple[PlannedLayer, ...]) -> Iterator[SpecError]:
    if not isinstance(spec.network, Sequential):
        return
    index = len(spec.network.layers) - 1
    pointer, last = f"/network/layers/{index}", spec.network.layers[index]
    if layers[-1].output != (task.outputs,):
        field = "/units" if isinstance(last, Dense) else ""
        detail = f"The network ends in {prod(layers[-1].output):,} values, and the task needs {_needed(spec, task)}"
        yield SpecError(pointer + field, "outputs_do_not_fit", detail, suggestion=str(task.outputs))
    if task.kind != "regression" and isinstance(last, KernelLayer | ActivationLayer) and last.activation != "linear":
        detail = "The loss takes logits and has softmax or sigmoid inside: leave the last activation out"
        yield SpecError(f"{pointer}/activation", "logits_needed", detail, ["linear"], "linear")


def _needed(spec: JobSpec, task: Task) -> str:
    match task.kind:
        case "multiclass":
            hint = ", or 1 with the loss binary_cross_entropy" if len(task.classes) == 2 and spec.loss is None else ""
            return f"{task.outputs:,}: a logit for each class{hint}"
        case "binary":
            return "1: one logit that tells two classes apart"
        case "multi_label":
            return f"{task.outputs:,}: a logit for each label"
        case "regression":
            return f"{task.outputs:,}: as many as there are targets"


def _memory(spec: JobSpec, task: Task, cost: Estimate, memory_bytes: int) -> Iterator[SpecError]:
    if cost.memory_bytes > memory_bytes:
        yield SpecError("/network", "too_large", _cost_in_words(spec, task, cost, memory_bytes))


def _cost_in_words(spec: JobSpec, task: Task, cost: Estimate, memory_bytes: int) -> str:
    gigabytes = cost.memory_bytes / 1e9
    activations, evaluation = 2 * cost.activation_bytes / 1e9, evaluation_bytes(task) / 1e9
    return (
        f"{cost.parameters:,} parameters and batches of {spec.training.batch_size} need about {gigabytes:,.1f} GB "
        f"({activations:,.1f} GB of it for activations, {evaluation:,.1f} GB to measure {task.validation:,} examples); "
        f"a worker has {memory_bytes / 1e9:,.1f} GB"
    )


def _warnings(spec: JobSpec, manifest: Manifest, task: Task, cost: Estimate) -> Iterator[SpecWarning]:
    resolved = resolve(spec, manifest)
    layers = plan_of(resolved.network, task)
    yield from _starts_that_do_not_fit(resolved, layers)
    yield from start_warnings(resolved, layers)
    yield from _penalty_and_decay(spec)
    yield from optimizer_warnings(spec)
    yield from schedule_warnings(spec, cost.steps_per_epoch, cost.steps)
    yield from idle_warnings(spec, cost.steps_per_epoch, cost.steps)
    yield from training_warnings(spec, cost.steps)
    yield from augmentation_warnings(spec, task)
    yield from _table_defaults(spec, manifest, task)
    yield from _raw_pixels(spec, manifest)
    if spec.dataset.validation is None:
        detail = "Nothing is held back: no metric of this job will tell how it does on new data"
        yield SpecWarning("/dataset/validation", "no_validation", detail)
    if task.validation and spec.checkpoints.keep_best is None and task.validation < 30:
        detail = f"Only {task.validation} examples to validate on: the best checkpoint is chosen by chance"
        yield SpecWarning("/dataset/validation", "few_examples", detail)


def _starts_that_do_not_fit(resolved: JobSpec, layers: tuple[PlannedLayer, ...]) -> Iterator[SpecWarning]:
    activations = list(activations_of(resolved.network))
    start: AnyInitialization | None = resolved.initialization
    saturating = [name for name in activations if name in SATURATING]
    if isinstance(start, KaimingNormal | KaimingUniform) and start.nonlinearity == "relu" and saturating:
        detail = f"He's start is made for ReLU and drives {saturating[0]} into saturation: Xavier's is made for it"
        yield SpecWarning("/initialization", "he_with_saturating", detail)
    fading = activations.count("relu") >= 8 and not any(layer.norm for layer in layers)
    if isinstance(start, XavierNormal | XavierUniform) and start.gain == 1.0 and fading:
        detail = "Behind each ReLU half of the signal is gone under Xavier's start; in deep networks He's keeps it"
        yield SpecWarning("/initialization", "xavier_with_deep_relu", detail)


def _penalty_and_decay(spec: JobSpec) -> Iterator[SpecWarning]:
    decays = any(isinstance(technique, WeightDecay) for technique in spec.regularization)
    decays = decays or own_decay(spec.optimizer) is not None
    for pointer, penalty in _penalties(spec):
        if not isinstance(penalty, L2Penalty | L1L2Penalty):
            continue
        if decays:
            detail = "L2 and weight decay both: each shrinks the weights, so what you see is their sum"
            yield SpecWarning(pointer, "l2_and_decay", detail)
        elif not isinstance(spec.optimizer, Sgd):
            detail = (
                f"Under {spec.optimizer.type} the gradient of L2 is divided by the size of the gradients: "
                "weights that move much are shrunk little. `weight_decay` shrinks all alike"
            )
            yield SpecWarning(pointer, "l2_is_not_decay", detail)


def _penalties(spec: JobSpec) -> Iterator[tuple[str, Technique]]:
    """The job's own regularization and that of its layers, each with its pointer."""
    for index, technique in enumerate(spec.regularization):
        yield f"/regularization/{index}", technique
    if isinstance(spec.network, Sequential):
        for place, layer in enumerate(spec.network.layers):
            for index, penalty in enumerate(layer.regularization if isinstance(layer, KernelLayer) else ()):
                yield f"/network/layers/{place}/regularization/{index}", penalty


def _table_defaults(spec: JobSpec, manifest: Manifest, task: Task) -> Iterator[SpecWarning]:
    if not isinstance(manifest, TableManifest):
        return
    if spec.dataset.target is None:
        detail = f"No target is named: the last column, `{task.targets[0]}`, is taken"
        yield SpecWarning("/dataset/target", "target_assumed", detail)
    left = [text.name for text in manifest.texts if text.name not in task.texts]
    if left and spec.dataset.features is None:
        detail = f"`{left[0]}` is text and left out; say how it is read: " + '"text": {"type": "multi_hot"}'
        yield SpecWarning("/dataset/text", "text_left_out", detail)
    others = {column.name for column in manifest.columns}.difference(task.targets, task.texts)
    if task.vocabulary and spec.dataset.features is None and others:
        detail = "Tokens are the only input: all other columns are left out"
        yield SpecWarning("/dataset/features", "columns_left_out", detail)
    gaps = [column.name for column in manifest.columns if column.missing and column.name in task.features]
    if gaps:
        listed = ", ".join(f"`{name}`" for name in gaps[:10]) + (" and others" if len(gaps) > 10 else "")
        detail = f"Values are missing in {listed}: numbers get the mean of the training part, categories none at all"
        yield SpecWarning("/dataset/features", "missing_values", detail)


def _raw_pixels(spec: JobSpec, manifest: Manifest) -> Iterator[SpecWarning]:
    if spec.dataset.normalize == "none" and isinstance(manifest, ImageManifest):
        detail = "Pixels from 0 to 255 enter the network as they are: starts and rates are made for inputs around 0"
        yield SpecWarning("/dataset/normalize", "raw_pixels", detail)
