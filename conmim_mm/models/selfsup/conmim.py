"""ConMIM: Masked Image Modeling with Denoising Contrast (ICLR 2023, arXiv 2205.09616)."""

import torch
from mmengine.structures import BaseDataElement
from mmpretrain.models.selfsup import BaseSelfSupervisor
from mmpretrain.registry import MODELS

from ...errors import InputError
from ..layers.visible import draw_columns, put, split_positions


@MODELS.register_module()
class ConMIM(BaseSelfSupervisor):
    """Masked image modelling by recognising the hidden patches.

    The student sees an image with holes; for each hole it finds, among all patches of the same
    image as the teacher sees them, the one that belongs there.

    The teacher's update is not here: it is the optimizer step's counterpart and belongs to
    :class:`TeacherUpdateHook`, which every config of this algorithm needs.

    Args:
        backbone: The student's ViT, with ``use_mask_token=True`` where there is no decoder. Of
            another backbone its ``forward_tokens(images, mask)``, ``mask_token`` and
            ``num_extra_tokens`` are used; with a decoder ``forward_visible(images, mask)`` and
            ``grid_of(images)``.
        neck: The projector: anything whose ``forward`` makes ``(B, 1 + L, D)`` of the backbone's
            tokens ``(B, 1 + L, C)``.
        head: The head with the loss.
        decoder: None is the paper's form: the student's backbone encodes all patches, mask tokens
            in the holes. With a decoder it encodes the visible patches alone, and the decoder makes
            tokens of the holes from them: anything whose ``forward(visible, shown, holes, grid)``
            does what :meth:`HoleDecoder.forward` says. The neck then sees the holes only.
        decoded_share: With a decoder, the share of the holes that is decoded and enters the loss,
            drawn anew at every step (CrossMAE, arXiv 2401.14391, section 3.3); above 0, up to 1.
        teacher: The teacher, built with the student's backbone and neck.
        predict_with: Whose features :meth:`predict` gives, ``'teacher'`` or ``'student'``.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: As in MMEngine.

    Raises:
        InputError: The backbone has no mask token, or one that a decoder leaves without use;
            another ``predict_with``; a ``decoded_share`` out of range; a head and a teacher
            that do not go together.
    """

    def __init__(self,
                 backbone: dict,
                 neck: dict,
                 head: dict,
                 decoder: dict | None = None,
                 decoded_share: float = 1.,
                 teacher: dict | None = None,
                 predict_with: str = 'teacher',
                 data_preprocessor: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        data_preprocessor = dict(data_preprocessor or {})
        data_preprocessor.setdefault('type', 'ConMIMDataPreprocessor')
        super().__init__(
            backbone=backbone,
            neck=neck,
            head=head,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg)
        self.decoder = decoder and MODELS.build(decoder)
        if (self.backbone.mask_token is None) == (self.decoder is None):
            raise InputError(
                'ConMIM needs a mask token; set use_mask_token=True in the backbone' if
                self.decoder is None else 'the mask token is the decoder\'s, where there is one; '
                'set use_mask_token=False in the backbone')
        if not 0 < decoded_share <= 1:
            raise InputError(f'decoded_share must lie in (0, 1], but is {decoded_share}')
        self.decoded_share = decoded_share
        if predict_with not in ('teacher', 'student'):
            raise InputError(f"predict_with must be 'teacher' or 'student', not {predict_with!r}")
        self.predict_with = predict_with
        self.teacher = MODELS.build(
            teacher or dict(type='EMATeacher'),
            default_args=dict(backbone=self.backbone, neck=self.neck))
        given, wanted = (getattr(part, 'num_pixels', 0) for part in (self.teacher, self.head))
        if given != wanted:
            raise InputError(f'the teacher gives {given} pixels of a patch, but the head wants '
                             f'{wanted}: TokensAndPixelsTeacher and TokensAndPixelsHead go '
                             'together, with model.head.num_pixels=bands x patch_size**2')
        self.register_load_state_dict_pre_hook(start_teacher_from_student)

    def init_weights(self) -> None:
        """Initialises the student; the teacher starts as its copy."""
        super().init_weights()
        self.teacher.copy_from(self)

    def extract_feat(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The student backbone's features of whole, normalised images ``(B, 3, H, W)``."""
        return self.backbone(inputs)

    def loss(self,
             inputs: dict[str, torch.Tensor],
             data_samples: list[BaseDataElement] | None = None) -> dict[str, torch.Tensor]:
        """One step's loss.

        Args:
            inputs: ``student_view`` and ``teacher_view``, both ``(B, 3, H, W)``, normalised and
                pixel-aligned, and ``mask``, ``(B, L)`` bool, True = masked; or ``(B, K, L)``, K
                masks of each image, for which the teacher sees it once.
            data_samples: Not used; the images' meta information.

        Returns:
            What the head returns: ``loss`` and what is logged beside it.
        """
        images, mask = inputs['student_view'], inputs['mask']
        num_masks = mask.shape[1] if mask.dim() == 3 else 1
        if num_masks > 1:
            images, mask = images.repeat_interleave(num_masks, dim=0), mask.flatten(0, 1)
        student, asked = self.student_tokens(images, mask, self.decoded_share)
        teacher = self.teacher(inputs['teacher_view'])
        if num_masks > 1:
            teacher = teacher.repeat_interleave(num_masks, dim=0)
        return self.head.loss(student, teacher, asked)

    def student_tokens(self, images: torch.Tensor, mask: torch.Tensor,
                       decoded_share: float = 1.) -> tuple[torch.Tensor, torch.Tensor]:
        """Projected tokens of images with holes, and which holes they are of.

        Args:
            images: ``(B, 3, H, W)``, normalised.
            mask: ``(B, L)`` bool, True = masked.
            decoded_share: Of the holes, with a decoder.

        Returns:
            ``(B, N, D)``, the L patch tokens last, with a decoder 0 where none was asked for; and
            ``(B, L)`` bool, True at the holes that were.
        """
        if self.decoder is None:
            return self.neck(self.backbone.forward_tokens(images, mask)), mask
        visible = self.backbone.forward_visible(images, mask)
        shown, holes = split_positions(mask, visible.shape[1] - 1)
        if decoded_share < 1:
            holes = draw_columns(holes, decoded_share)
        tokens = self.neck(self.decoder(visible, shown, holes, self.backbone.grid_of(images)))
        asked = torch.zeros_like(mask).scatter(1, holes, torch.ones_like(holes, dtype=torch.bool))
        return put(tokens, holes, mask.shape[1]), asked

    def forward(self,
                inputs: torch.Tensor | dict[str, torch.Tensor],
                data_samples: list[BaseDataElement] | None = None,
                mode: str = 'tensor') -> torch.Tensor | tuple | dict | list:
        """The entry of mmpretrain's algorithms, with the mode ``'predict'`` as well."""
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        return super().forward(inputs, data_samples, mode)

    def predict(self, inputs: torch.Tensor,
                data_samples: list[BaseDataElement]) -> list[BaseDataElement]:
        """Gives each image's sample its frozen features.

        Args:
            inputs: Whole, normalised images ``(B, 3, H, W)``.
            data_samples: One for each. They get ``features`` ``(C,)``, the mean of their patch
                tokens; or, where they have maps of labels (``gt_map``), ``patch_tokens``
                ``(h, w, C)``.
        """
        backbone = (self.teacher if self.predict_with == 'teacher' else self).backbone
        name, seen = (('patch_tokens', backbone.patch_tokens) if 'gt_map' in data_samples[0] else
                      ('features', backbone.mean_tokens))
        for sample, features in zip(data_samples, seen(inputs), strict=True):
            sample.set_field(features, name)
        return data_samples


# What the two forms of the student, and the two of the teacher, do not have in common.
PARTS_OF_A_FORM = ('decoder.', 'neck.', 'teacher.neck.') + tuple(
    f'{whose}backbone.{part}' for whose in ('', 'teacher.')
    for part in ('mask_token', 'pos_embed', 'rel_pos_bias.'))


def is_other_form(differences: set[str]) -> bool:
    """Whether weights differ just as those of two forms of ConMIM do, backbones being alike.

    Args:
        differences: Names of the weights that one of both has not, or has in another shape.
    """
    return all(name.startswith(PARTS_OF_A_FORM) for name in differences) and any(
        name.startswith(('decoder.', 'neck.', 'teacher.neck.')) for name in differences)


def start_teacher_from_student(model: ConMIM, state_dict: dict[str, torch.Tensor],
                               prefix: str = '', *_: object) -> None:
    """A checkpoint without a teacher (a converted one, say) starts the teacher as its student.

    Args:
        model: Whose teacher it is.
        state_dict: Of the checkpoint, changed in place.
        prefix: What stands before the names of the model's weights.
    """
    if any(key.startswith(f'{prefix}teacher.') for key in state_dict):
        return
    for part in model.teacher.parts:
        for key in [key for key in state_dict if key.startswith(f'{prefix}{part}.')]:
            state_dict[f'{prefix}teacher.{key[len(prefix):]}'] = state_dict[key]
