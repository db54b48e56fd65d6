"""Keras on TensorFlow or JAX, as KERAS_BACKEND says: `fit` on vectors as they are; on images in memory, augmented a
batch at a time by preprocessing layers in the input pipeline; or on a folder of JPEGs, of which the pipeline decodes
what it crops, each time or none at all where the arrays are there. What was tried and is no faster, so is not here:
many steps an execution for images, `crop_and_resize` of a whole batch (twice as dear at 224 pixels).
"""

import os
from math import gcd
from typing import Any

import keras
import tensorflow
from keras import layers

from benchmarks.contestants.race import LABELS, Race, enter

MANY = 1_000_000
"""Steps or epochs: whoever measures says when it is over."""


class Steps(keras.callbacks.Callback):
    """Told after every execution of so many steps."""

    def __init__(self, race: Race, at_once: int = 1) -> None:
        super().__init__()
        self.race, self.at_once = race, at_once

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        for _step in range(self.at_once):
            self.race.step_done()


def cnn() -> Any:
    kernel = keras.regularizers.L2(1e-4)
    return keras.Sequential(
        [
            layers.Conv2D(32, 3, activation="relu", kernel_regularizer=kernel),
            layers.Conv2D(64, 3, activation="relu", kernel_regularizer=kernel),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu", kernel_regularizer=kernel),
            layers.Dropout(0.5),
            layers.Dense(LABELS, kernel_regularizer=kernel, dtype="float32"),
        ]
    )


def block(x: Any, width: int, stride: int) -> Any:
    kernel = keras.regularizers.L2(1e-4)
    options = {"use_bias": False, "padding": "same", "kernel_regularizer": kernel}
    y = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(width, 3, stride, **options)(x)))
    y = layers.BatchNormalization()(layers.Conv2D(width, 3, **options)(y))
    if stride > 1 or x.shape[-1] != width:
        x = layers.BatchNormalization()(layers.Conv2D(width, 1, stride, **options)(x))
    return layers.Activation("relu")(y + x)


def resnet() -> Any:
    kernel = keras.regularizers.L2(1e-4)
    pixels = keras.Input((32, 32, 3))
    x = layers.Conv2D(24, 3, padding="same", use_bias=False, kernel_regularizer=kernel)(pixels)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    for stage in range(3):
        for index in range(3):
            x = block(x, 24 * 2**stage, 2 if stage > 0 and index == 0 else 1)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(pixels, layers.Dense(LABELS, kernel_regularizer=kernel, dtype="float32")(x))


def strided(workload: str) -> Any:
    kernel, stride = (7, 8) if workload == "jpeg224" else (5, 4)
    return keras.Sequential(
        [
            layers.Conv2D(16, kernel, stride, padding="same", activation="relu"),
            layers.Conv2D(32, 3, 2, padding="same", activation="relu"),
            layers.Conv2D(64, 3, 2, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(LABELS, dtype="float32"),
        ]
    )


def mlp() -> Any:
    return keras.Sequential(
        [
            layers.Dense(16, activation="relu", kernel_regularizer=keras.regularizers.L1(1e-3)),
            layers.Dropout(0.5),
            layers.Dense(16, activation="relu", kernel_regularizer=keras.regularizers.L2(1e-3)),
            layers.Dropout(0.5),
            layers.Dense(1, dtype="float32"),
        ]
    )


def network_of(race: Race) -> Any:
    made = {"fashion": cnn, "cifar": resnet, "vectors": mlp}
    return strided(race.workload) if race.is_jpeg else made[race.workload]()


def pipeline(race: Race) -> Any:
    """Batches of floats without end."""
    data = pictures(race) if race.is_jpeg else images(race)
    return data.prefetch(tensorflow.data.AUTOTUNE)


def pictures(race: Race) -> Any:
    """Each cropped as Inception was trained, to the size that all have, and half of them mirrored."""
    side = int(race.workload.removeprefix("jpeg"))
    sources: Any
    targets: Any
    if race.decoded:
        images, targets = tensorflow.constant(race.inputs()), race.targets()
        sources = range(len(targets))
    else:
        paths, targets = race.files()
        sources = [str(path) for path in paths]

    def cropped(source: Any) -> Any:
        if race.decoded:
            start, size = box((side, side, 3))
            start, size = tensorflow.concat([[source], start], 0), tensorflow.concat([[1], size], 0)
            return tensorflow.ensure_shape(tensorflow.slice(images, start, size)[0], (None, None, 3))
        content = tensorflow.io.read_file(source)
        start, size = box(tensorflow.io.extract_jpeg_shape(content))
        return tensorflow.io.decode_and_crop_jpeg(content, tensorflow.concat([start[:2], size[:2]], 0), channels=3)

    def prepare(source: Any, target: Any) -> Any:
        image = tensorflow.image.resize(cropped(source), (side, side))
        return tensorflow.image.random_flip_left_right(image) / 64.0 - 2.0, target

    data = tensorflow.data.Dataset.from_tensor_slices((sources, targets)).shuffle(len(targets)).repeat()
    data = data.map(prepare, num_parallel_calls=tensorflow.data.AUTOTUNE)
    return data.batch(race.batch_size, drop_remainder=True)


def box(shape: Any) -> tuple[Any, Any]:
    """Row, column and channel where it begins, and how large it is."""
    start, size, _ = tensorflow.image.sample_distorted_bounding_box(
        shape,
        tensorflow.zeros((1, 0, 4)),
        min_object_covered=0.0,
        aspect_ratio_range=(3 / 4, 4 / 3),
        area_range=(0.08, 1.0),
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    return start, size


def images(race: Race) -> Any:
    data = tensorflow.data.Dataset.from_tensor_slices((race.inputs(), race.targets()))
    data = data.shuffle(10_000).repeat().batch(race.batch_size, drop_remainder=True)
    change = [
        layers.RandomRotation(10 / 360, "nearest"),
        layers.RandomTranslation(0.1, 0.1, "nearest"),
        layers.RandomShear(0.2, 0.2, fill_mode="nearest"),
        layers.RandomZoom((-0.2, 0.2), (-0.2, 0.2), "nearest"),
        layers.RandomFlip("horizontal"),
    ]

    def prepare(inputs: Any, targets: Any) -> Any:
        inputs = tensorflow.cast(inputs, "float32")
        for layer in change:
            inputs = layer(inputs, training=True)
        return inputs / 64.0 - 2.0, targets

    return data.map(prepare, num_parallel_calls=tensorflow.data.AUTOTUNE)


def run(race: Race) -> None:
    tensorflow.config.threading.set_intra_op_parallelism_threads(race.threads)
    if race.precision == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    network = network_of(race)
    if race.is_image:
        rate = 0.05 if race.is_jpeg else keras.optimizers.schedules.CosineDecay(0.05, 4690)
        optimizer = keras.optimizers.SGD(rate, momentum=0.9, global_clipnorm=1.0 if race.clips else None)
        loss: Any = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    else:
        optimizer, loss = keras.optimizers.RMSprop(0.001), keras.losses.BinaryCrossentropy(from_logits=True)
    if race.is_image:
        network.compile(optimizer, loss)
        network.fit(pipeline(race), epochs=1, steps_per_epoch=MANY, verbose=0, callbacks=[Steps(race)])
        return
    inputs, targets = race.inputs().astype("float32"), race.targets()
    at_once = gcd(race.warm_up, race.steps, -(-len(targets) // race.batch_size))  # ends where what is measured does
    at_once = at_once if keras.backend.backend() == "tensorflow" else 1  # no faster for JAX
    network.compile(optimizer, loss, steps_per_execution=at_once)
    network.fit(inputs, targets, race.batch_size, MANY, verbose=0, callbacks=[Steps(race, at_once)])


if __name__ == "__main__":
    run(enter("keras", "jax" if os.environ.get("KERAS_BACKEND") == "jax" else "tensorflow-cpu"))
