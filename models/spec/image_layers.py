"""The plans of the networks for images that `images` describes."""

from typing import Literal

from .images import Convnext, Stem, Vgg, Vit, WideResnet
from .plan import FEATURES, LARGE_IMAGE, Plan, Shape, ShapeMismatch
from .sequence_layers import plan_encoder

VGG_WIDTHS = (64, 128, 256, 512, 512)
VGG_DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions of each stage."""
VGG_HEAD = (4096, 4096)
VGG_AVERAGE = 7
"""Pixels, down and across, that the classic head sees."""

CONVNEXT_SIZES = {
    "atto": ((2, 2, 6, 2), (40, 80, 160, 320)),
    "femto": ((2, 2, 6, 2), (48, 96, 192, 384)),
    "pico": ((2, 2, 6, 2), (64, 128, 256, 512)),
    "nano": ((2, 2, 8, 2), (80, 160, 320, 640)),
    "tiny": ((3, 3, 9, 3), (96, 192, 384, 768)),
    "small": ((3, 3, 27, 3), (96, 192, 384, 768)),
    "base": ((3, 3, 27, 3), (128, 256, 512, 1024)),
    "large": ((3, 3, 27, 3), (192, 384, 768, 1536)),
}
"""(depths, widths)."""
CONVNEXT_EXPANSION = 4

LARGE_PATCH, SMALL_PATCH = 16, 4


def stem_of(stem: Stem, input_shape: Shape) -> Literal["small", "large"]:
    """The stem for images of this (channels, height, width)."""
    if stem != "auto":
        return stem
    return "large" if min(input_shape[1:], default=0) >= LARGE_IMAGE else "small"


def wide_resnet_blocks(network: WideResnet) -> tuple[int, ...]:
    """How many blocks each stage has."""
    return ((network.depth - 4) // 6,) * 3


def convnext_stages(network: Convnext) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(depths, widths)."""
    depths, widths = CONVNEXT_SIZES[network.size]
    return network.depths or depths, network.widths or widths


def vit_patch(network: Vit, input_shape: Shape) -> int:
    """The side of a patch of images of this (channels, height, width)."""
    if network.patch is not None:
        return network.patch
    return LARGE_PATCH if min(input_shape[1:], default=0) >= LARGE_IMAGE else SMALL_PATCH


def plan_wide_resnet(plan: Plan, network: WideResnet, outputs: int) -> None:
    pointer = "/network/depth"
    plan.conv("stem", 16, 3, 1, "same", False, pointer)
    for stage, blocks in enumerate(wide_resnet_blocks(network)):
        width = 16 * network.widen_factor * 2**stage
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            _pre_activation_block(plan, f"stages.{stage}.{block}", width, stride, pointer)
    plan.batch_norm("norm")
    plan.activate("norm.activation", "relu")
    plan.global_pool(FEATURES, pointer)
    plan.dense("output", outputs, True, "/network")


def _pre_activation_block(plan: Plan, name: str, width: int, stride: int, pointer: str) -> None:
    """(channels, h, w) → (width, h / stride, w / stride)."""
    entry = plan.shape
    for index, step in ((1, stride), (2, 1)):
        plan.batch_norm(f"{name}.norm{index}")
        plan.activate(f"{name}.activation{index}", "relu")
        plan.conv(f"{name}.conv{index}", width, 3, step, "same", False, pointer)
    if entry != plan.shape:
        plan.shape = entry
        plan.conv(f"{name}.shortcut", width, 1, stride, "valid", False, pointer)
    plan.add(f"{name}.sum")


def plan_vgg(plan: Plan, network: Vgg, outputs: int) -> None:
    _needs_sides(plan, 2 ** len(VGG_WIDTHS), "vgg")
    pointer = "/network/depth"
    for stage, (count, width) in enumerate(zip(VGG_DEPTHS[network.depth], VGG_WIDTHS, strict=True)):
        for index in range(count):
            name = f"stages.{stage}.{index}"
            plan.conv(name, width, 3, 1, "same", network.norm == "none", pointer)
            if network.norm == "batch":
                plan.batch_norm(f"{name}.norm")
            plan.activate(f"{name}.activation", "relu")
        plan.pool(f"stages.{stage}.pooling", 2, 2, pointer)
    if network.head == "small":
        plan.global_pool(FEATURES, pointer)
    else:
        plan.shape = (plan.shape[0] * VGG_AVERAGE**2,)
        plan.flatten(FEATURES)
        for index, width in enumerate(VGG_HEAD):
            plan.dense(f"head.{index}", width, True, "/network/head")
            plan.activate(f"head.{index}.activation", "relu")
    plan.dense("output", outputs, True, "/network")


def plan_convnext(plan: Plan, network: Convnext, outputs: int) -> None:
    depths, widths = convnext_stages(network)
    large = stem_of(network.stem, plan.shape) == "large"
    _needs_sides(plan, (4 if large else 1) * 2 ** (len(depths) - 1), "convnext")
    pointer = "/network/stem"
    plan.conv("stem", widths[0], *((4, 4, "valid") if large else (3, 1, "same")), True, pointer)
    plan.norm_of("stem.norm", widths[0])
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        if stage > 0:
            plan.norm_of(f"norms.{stage - 1}", widths[stage - 1])
            plan.conv(f"downsamples.{stage - 1}", width, 2, 2, "valid", True, pointer)
        for block in range(depth):
            _convnext_block(plan, f"stages.{stage}.{block}", width, pointer)
    plan.global_pool(FEATURES, pointer)
    plan.norm_of("norm", widths[-1])
    plan.dense("output", outputs, True, "/network")


def _convnext_block(plan: Plan, name: str, width: int, pointer: str) -> None:
    plan.conv(f"{name}.depthwise", width, 7, 1, "same", True, pointer, groups=width)
    plan.norm_of(f"{name}.norm", width)
    channels, *sides = plan.shape
    plan.shape = (*sides, channels)
    plan.project(f"{name}.expand", CONVNEXT_EXPANSION * width)
    plan.activate(f"{name}.activation", "gelu")
    plan.project(f"{name}.contract", width)
    plan.shape = (channels, *sides)
    plan.learn(f"{name}.scale", width)
    plan.add(f"{name}.sum")


def plan_vit(plan: Plan, network: Vit, outputs: int) -> None:
    patch, pointer = vit_patch(network, plan.shape), "/network/patch"
    _needs_sides(plan, 1, "vit")
    _, height, width = plan.shape
    if height % patch or width % patch:
        detail = (
            f"Patches of {patch} × {patch} do not tile images of {height} × {width}: choose another `patch`, or "
            "another `image_size` for the data set"
        )
        raise ShapeMismatch(pointer, detail)
    plan.conv("patches", network.width, patch, patch, "valid", True, pointer)
    plan.shape = ((height // patch) * (width // patch), network.width)
    plan_encoder(plan, network.depth, network.mlp_ratio, network.pooling, learned=True)
    plan.project("output", outputs)


def _needs_sides(plan: Plan, least: int, kind: str) -> None:
    """Raises ShapeMismatch unless the inputs are images of at least so many pixels, down and across."""
    if len(plan.shape) != 3:
        detail = f"`{kind}` takes images, and the data are vectors of {plan.shape[0]:,} features"
        raise ShapeMismatch("/network", detail)
    _, height, width = plan.shape
    if min(height, width) < least:
        detail = (
            f"`{kind}` halves its images until they need at least {least} × {least} pixels, and they have {height} × "
            f'{width}: say "image_size": [{max(height, least)}, {max(width, least)}] in the dataset'
        )
        raise ShapeMismatch("/network", detail)
