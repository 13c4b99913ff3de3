"""What a pre-training step has to compute and to move, counted from the sizes of the model."""

from dataclasses import dataclass

from mmengine.config import Config

# Bytes of a number: parameters, their gradients, moments and teacher are float32.
FLOAT32, UINT8 = 4, 1


@dataclass(frozen=True)
class StepSizes:
    """Sizes of a step.

    Attributes:
        embed_dims: Width C of the ViT.
        num_layers: Blocks.
        num_heads: Heads.
        feedforward_channels: Hidden width of a block's MLP.
        patch_size: Side of a patch, in pixels.
        img_size: Side of an image, in pixels.
        hid_channels: Hidden width of the projector.
        out_channels: Width of what is compared.
        batch: Images.
    """

    embed_dims: int
    num_layers: int
    num_heads: int
    feedforward_channels: int
    patch_size: int
    img_size: int
    hid_channels: int
    out_channels: int
    batch: int

    @property
    def patches(self) -> int:
        return (self.img_size // self.patch_size)**2

    @property
    def tokens(self) -> int:
        return 1 + self.patches


def sizes_of(cfg: Config, batch: int) -> StepSizes:
    """Sizes of a step of a pre-training config."""
    backbone, neck = cfg.model.backbone, cfg.model.neck
    return StepSizes(
        **backbone.arch, patch_size=backbone.patch_size, img_size=backbone.img_size,
        hid_channels=neck.hid_channels, out_channels=neck.out_channels, batch=batch)


def forward_flops(sizes: StepSizes) -> dict[str, int]:
    """Operations of one pass forward that are matrix products: two for a product and a sum.

    Args:
        sizes: Of the step.

    Returns:
        By part; ``logits`` is the loss's, the others are the student's or the teacher's.
    """
    batch, tokens, width = sizes.batch, sizes.tokens, sizes.embed_dims
    hidden = sizes.hid_channels
    return dict(
        patches=2 * batch * sizes.patches * 3 * sizes.patch_size**2 * width,
        blocks=2 * batch * tokens * sizes.num_layers * width * (
            4 * width + 2 * sizes.feedforward_channels),
        attention=2 * batch * sizes.num_layers * 2 * tokens**2 * width,
        projector=2 * batch * tokens * hidden * (width + hidden + sizes.out_channels),
        logits=2 * batch * sizes.patches**2 * sizes.out_channels)


def step_flops(sizes: StepSizes) -> dict[str, int]:
    """As :func:`forward_flops` of a whole step: student forth and back, teacher forth.

    The way back costs twice the way forth, but images need no gradient, nor does the teacher's side
    of the logits, which the head computes once more for the log. What a fused kernel computes again
    is not counted.
    """
    student_and_teacher = dict(patches=3, blocks=4, attention=4, projector=4, logits=3)
    return {part: student_and_teacher[part] * flops
            for part, flops in forward_flops(sizes).items()}


def num_parameters(sizes: StepSizes) -> int:
    """Parameters of the student, which are as many as the teacher's."""
    width, hidden, ffn = sizes.embed_dims, sizes.hid_channels, sizes.feedforward_channels
    # qkv (no bias for k) and projection, two linear layers, two norms, two layer scales
    block = (4 * width**2 + 3 * width) + (2 * width * ffn + width + ffn) + 4 * width + 2 * width
    grid = sizes.img_size // sizes.patch_size
    table = ((2 * grid - 1)**2 + 3) * sizes.num_heads
    embedding = 3 * sizes.patch_size**2 * width + width + 2 * width  # and the two tokens
    projector = hidden * (width + hidden + sizes.out_channels) + 4 * hidden
    return embedding + table + sizes.num_layers * block + 2 * width + projector


def step_bytes(sizes: StepSizes, activation_bytes: int) -> dict[str, int]:
    """Bytes that a step moves at least between memory and processor, where nothing stays cached.

    Each operator reads what it takes and writes what it gives; element-wise operators count as
    fused with their neighbours, attention as one kernel that keeps its scores to itself.

    Args:
        sizes: Of the step.
        activation_bytes: Of a number between two layers, 2 in mixed precision.
    """
    parameters = num_parameters(sizes)
    rows, width = sizes.batch * sizes.tokens, sizes.embed_dims
    # written and read: two norms, q, k and v, attention, its projection, both sides of the MLP
    block = 2 * rows * (8 * width + sizes.feedforward_channels)
    # three linear layers, each written, read by its norm, written, and read again
    projector = 4 * rows * (2 * sizes.hid_channels + sizes.out_channels)
    forward = activation_bytes * (sizes.num_layers * block + projector)
    bias = activation_bytes * sizes.num_layers * sizes.num_heads * sizes.tokens**2
    logits = 2 * FLOAT32 * sizes.batch * sizes.patches**2
    return dict(
        # student forth, student back, which reads it and writes its gradient, teacher forth
        activations=(1 + 2 + 1) * (forward + bias) + 3 * logits,
        # student's read forth and back, teacher's read forth; gradients written
        parameters=FLOAT32 * parameters * (2 + 1 + 1),
        # AdamW reads gradient, weight and two moments and writes three of them; the clip reads and
        # writes the gradient
        optimizer=FLOAT32 * parameters * (4 + 3 + 2),
        teacher=FLOAT32 * parameters * 3,
        # two views as bytes, read, and written normalised
        images=2 * sizes.batch * 3 * sizes.img_size**2 * (UINT8 + FLOAT32))


def state_bytes(sizes: StepSizes) -> int:
    """Bytes that are held from step to step: weights, gradients, two moments, teacher."""
    return 5 * FLOAT32 * num_parameters(sizes)
