"""The components of docs/extending.md, as files beside their configs: a run trains with each."""

import re
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS, MODELS, TRANSFORMS

from conmim_mm.models.layers.visible import split_positions

from ..conftest import ROOT
from ..toy import write_noise_images
from .markdown import blocks_of

STEPS, BATCH, NUM_PATCHES, WIDTH = 2, 4, 196, 128


def files_and_configs() -> dict[str, tuple[str, str]]:
    """Of each module of the page its text, and the config behind it."""
    blocks = [block for block in blocks_of(ROOT / 'docs/extending.md')
              if block.language == 'python']
    modules = [re.match(r'# (\w+)\.py\n', block.text) for block in blocks[::2]]
    return {module[1]: (block.text, config.text) for module, block, config in zip(
        modules, blocks[::2], blocks[1::2], strict=True)}


class Recorder(Hook):
    """What the loss takes and gives at each step, and what the neck learns from it."""

    def __init__(self) -> None:
        self.calls, self.gradients, self.necks = [], [], []

    def before_train(self, runner: Runner) -> None:
        model = runner.model
        model.head.loss_module.register_forward_hook(
            lambda module, args, loss: self.calls.append((*args, loss)))
        next(model.neck.parameters()).register_hook(self.gradients.append)

    def before_train_iter(self, runner: Runner, batch_idx: int,
                          data_batch: dict | None = None) -> None:
        self.necks.append([next(part.neck.parameters()).detach().clone()
                           for part in (runner.model, runner.model.teacher)
                           if hasattr(part, 'neck')])


@pytest.fixture
def train(tmp_path: Path, monkeypatch):
    """Trains with a module of the page and its config; returns the runner and what was noted."""
    registries = (HOOKS, MODELS, TRANSFORMS)
    before = [set(registry.module_dict) for registry in registries]
    monkeypatch.syspath_prepend(tmp_path)

    def run(module: str) -> tuple[Runner, Recorder]:
        text, config = files_and_configs()[module]
        assert len(text.splitlines()) < 30
        (tmp_path / f'{module}.py').write_text(text)
        (tmp_path / 'config.py').write_text(config.replace("'configs/", f"'{ROOT}/configs/"))
        (tmp_path / 'images').mkdir()
        write_noise_images(tmp_path / 'images', BATCH, 32)
        cfg = Config.fromfile(tmp_path / 'config.py')
        cfg.merge_from_dict(dict(
            work_dir=str(tmp_path / 'run'),
            train_dataloader=dict(batch_size=BATCH, num_workers=0, persistent_workers=False,
                                  prefetch_factor=None,
                                  dataset=dict(data_root=str(tmp_path / 'images'))),
            train_cfg=dict(max_iters=STEPS),
            param_scheduler=dict(warmup=1),
            log_level='ERROR'))
        for name in ('report', 'live', 'checkpoint'):
            del cfg.default_hooks[name]
        runner, recorder = Runner.from_cfg(cfg), Recorder()
        runner.register_hook(recorder)
        runner.train()
        assert len(recorder.calls) == STEPS
        return runner, recorder

    yield run
    for registry, names in zip(registries, before, strict=True):
        for name in set(registry.module_dict) - names:
            registry.module_dict.pop(name)
    for module in files_and_configs():
        sys.modules.pop(module, None)


def test_the_page_has_one_of_each() -> None:
    assert list(files_and_configs()) == [
        'my_loss', 'my_mask', 'my_neck', 'my_decoder', 'my_hook']


def test_loss(train) -> None:
    runner, recorder = train('my_loss')
    for student, teacher, mask, loss in recorder.calls:
        pairs = zip(student[mask].detach().double(), teacher[mask].double(), strict=True)
        expected = [1 - float(s @ t / s.norm() / t.norm()) for s, t in pairs]
        assert len(expected) == mask.sum() == BATCH * 100  # 25 of 49 blocks of four
        assert loss.item() == pytest.approx(sum(expected) / len(expected), rel=1e-4)
    logged = runner.message_hub.get_scalar('train/loss').current()
    assert logged == pytest.approx(loss.item()) and 0 < logged < 2


def test_mask(train) -> None:
    _, recorder = train('my_mask')
    rows = torch.cat([mask for _, _, mask, _ in recorder.calls]).view(-1, 14, 14)
    assert torch.equal(rows.all(dim=2), rows.any(dim=2))
    assert (rows.all(dim=2).sum(dim=1) == 7).all()
    assert len(rows.unique(dim=0)) > 1


def test_neck(train) -> None:
    runner, recorder = train('my_neck')
    model = runner.model
    assert model.neck.layer.weight.shape == (256, WIDTH)
    tokens = torch.randn(2, 1 + NUM_PATCHES, WIDTH)
    assert model.neck(tokens).shape == (2, 1 + NUM_PATCHES, 256)
    assert {student.shape for student, *_ in recorder.calls} == {(BATCH, NUM_PATCHES, 256)}
    assert len(recorder.gradients) == STEPS and all(grad.any() for grad in recorder.gradients)

    # the last step learns, and the teacher's copy follows by the momentum it logs
    (_, _), (student, teacher) = recorder.necks
    assert not torch.equal(model.neck.layer.weight, student)
    momentum = runner.message_hub.get_scalar('train/momentum').current()
    torch.testing.assert_close(model.teacher.neck.layer.weight,
                               momentum * teacher + (1 - momentum) * model.neck.layer.weight)
    assert 0.9 < momentum < 1


def test_decoder(train) -> None:
    runner, recorder = train('my_decoder')
    decoder = runner.model.decoder
    assert type(decoder).__name__ == 'ConvDecoder' and len(decoder.layers) == 4
    assert decoder.mask_token.any()  # it has learnt
    assert {student.shape for student, *_ in recorder.calls} == {(BATCH, NUM_PATCHES, WIDTH)}
    mask = recorder.calls[-1][2]
    shown, asked = split_positions(mask, int((~mask[0]).sum()))
    visible = torch.randn(BATCH, 1 + shown.shape[1], WIDTH)
    holes = decoder(visible, shown, asked, (14, 14))
    assert holes.shape == (*asked.shape, WIDTH)
    # a hole far from a visible token knows nothing of it, one beside it does
    first = int((~mask[0]).nonzero()[0])
    changed = visible.clone()
    changed[0, 1] += 1.
    moved = (decoder(changed, shown, asked, (14, 14)) - holes)[0].abs().amax(dim=1) > 0
    places = mask[0].nonzero()[:, 0]
    rows, columns = (places // 14 - first // 14).abs(), (places % 14 - first % 14).abs()
    beside = torch.maximum(rows, columns) <= 1
    assert beside.any() and moved[beside].all()


def test_hook(train) -> None:
    runner, recorder = train('my_hook')
    assert runner.cfg.default_hooks.masked_share.interval == 10
    hook, = (hook for hook in runner.hooks if type(hook).__name__ == 'MaskedShareHook')
    assert hook.interval == 10 and 'train/masked_share' not in runner.message_hub.log_scalars
    hook.interval = 1
    mask = recorder.calls[-1][2]
    hook.after_train_iter(runner, 0, dict(inputs=dict(mask=mask)))
    assert runner.message_hub.get_scalar('train/masked_share').current() == mask.float().mean()
