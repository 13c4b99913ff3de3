"""ConMIM: Masked Image Modeling with Denoising Contrast (ICLR 2023, arXiv 2205.09616)."""

from collections import OrderedDict

import torch
from mmengine.structures import BaseDataElement
from mmpretrain.models.selfsup import BaseSelfSupervisor
from mmpretrain.registry import MODELS

from ...errors import InputError


@MODELS.register_module()
class ConMIM(BaseSelfSupervisor):
    """Masked image modelling by recognising the hidden patches.

    The student sees an image with holes; for each hole it finds, among all patches of the same
    image as the teacher sees them, the one that belongs there.

    The teacher's update is not here: it is the optimizer step's counterpart and belongs to
    :class:`TeacherUpdateHook`, which every config of this algorithm needs.

    Args:
        backbone: The student's ViT, with ``use_mask_token=True``. Of another backbone its
            ``forward_tokens(images, mask)``, ``mask_token`` and ``num_extra_tokens`` are used.
        neck: The projector: anything whose ``forward`` makes ``(B, 1 + L, D)`` of the backbone's
            tokens ``(B, 1 + L, C)``.
        head: The head with the loss.
        teacher: The teacher, built with the student's backbone and neck.
        predict_with: Whose features :meth:`predict` gives, ``'teacher'`` or ``'student'``.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: As in MMEngine.

    Raises:
        InputError: The backbone has no mask token, or another ``predict_with``.
    """

    def __init__(self,
                 backbone: dict,
                 neck: dict,
                 head: dict,
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
        if self.backbone.mask_token is None:
            raise InputError('ConMIM needs a mask token; set use_mask_token=True in the backbone')
        if predict_with not in ('teacher', 'student'):
            raise InputError(f"predict_with must be 'teacher' or 'student', not {predict_with!r}")
        self.predict_with = predict_with
        self.teacher = MODELS.build(
            teacher or dict(type='EMATeacher'),
            default_args=dict(backbone=self.backbone, neck=self.neck))
        self.register_load_state_dict_pre_hook(_start_teacher_from_student)

    def init_weights(self) -> None:
        """Initialises the student; the teacher starts as its copy."""
        super().init_weights()
        self.teacher.copy_from(self.backbone, self.neck)

    def extract_feat(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The student backbone's features of whole, normalised images ``(B, 3, H, W)``."""
        return self.backbone(inputs)

    def loss(self,
             inputs: dict[str, torch.Tensor],
             data_samples: list[BaseDataElement] | None = None) -> dict[str, torch.Tensor]:
        """One step's loss.

        Args:
            inputs: ``student_view`` and ``teacher_view``, both ``(B, 3, H, W)``, normalised and
                pixel-aligned, and ``mask``, ``(B, L)`` bool, True = masked.
            data_samples: Not used; the images' meta information.

        Returns:
            What the head returns: ``loss`` and what is logged beside it.
        """
        mask = inputs['mask']
        student = self.neck(self.backbone.forward_tokens(inputs['student_view'], mask))
        teacher = self.teacher(inputs['teacher_view'])
        return self.head.loss(student, teacher, mask)

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
        """Gives each image's sample ``features`` ``(C,)``, the mean of its patch tokens.

        Args:
            inputs: Whole, normalised images ``(B, 3, H, W)``.
            data_samples: One for each.
        """
        backbone = (self.teacher if self.predict_with == 'teacher' else self).backbone
        for sample, features in zip(data_samples, backbone.mean_tokens(inputs), strict=True):
            sample.set_field(features, 'features')
        return data_samples


def _start_teacher_from_student(model: ConMIM, state_dict: OrderedDict, prefix: str,
                                *_: object) -> None:
    """A checkpoint without a teacher (a converted one, say) starts the teacher as its student."""
    if any(key.startswith(f'{prefix}teacher.') for key in state_dict):
        return
    for part in ('backbone', 'neck'):
        for key in [key for key in state_dict if key.startswith(f'{prefix}{part}.')]:
            state_dict[f'{prefix}teacher.{key[len(prefix):]}'] = state_dict[key]
