"""Damaged and crafted checkpoints for fuzz.py."""

import io
import itertools
import os
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from functools import cache
from pathlib import Path

import numpy as np
import torch
from damages import OUTSIDE, Fault, choose, damaged, encoded, with_odd_value
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from conmim_mm.apis import export
from conmim_mm.apis.pretraining.run_folder import describe_run
from conmim_mm.checkpoint.reading import load_checkpoint_file
from conmim_mm.utils.work_dir import newest_complete_checkpoint

CONFIG = Path(__file__).parents[2] / 'configs/conmim/vit-tiny_1xb32_scenes-64px.py'


class _Call:

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.system, (f'touch {self.marker}',)


@cache
def checkpoint() -> dict:
    """A run's, small, with everything in it that a run saves."""
    init_default_scope('mmpretrain')
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict({'model.backbone.arch': dict(
        _delete_=True, embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48),
        'model.neck': dict(in_channels=24, hid_channels=32, out_channels=16)})
    torch.manual_seed(0)
    state = OrderedDict(MODELS.build(cfg.model).state_dict())
    return dict(
        meta=dict(epoch=1, iter=10, cfg=cfg.pretty_text, settings=cfg.to_dict(), seed=0,
                  experiment_name='run_20260101_000000', time='20260101_000000'),
        state_dict=state, optimizer=dict(
            state={0: dict(step=torch.tensor(1.), exp_avg=torch.zeros(3))}, param_groups=[
                dict(lr=1e-3, betas=(0.9, 0.98), params=[0])]),
        message_hub=dict(log_scalars=dict(loss=HistoryBuffer([1., 2.], [1, 1]))),
        param_schedulers=[dict(last_step=10)], ranks=[dict(torch=torch.get_rng_state())])


@cache
def saved_checkpoint(modern: bool) -> bytes:
    """Its file."""
    file = io.BytesIO()
    torch.save(checkpoint(), file, _use_new_zipfile_serialization=modern)
    return file.getvalue()


@cache
def saved_log() -> bytes:
    """A file of little else than NumPy's arrays."""
    file = io.BytesIO()
    torch.save({key: checkpoint()[key] for key in ('meta', 'message_hub')}, file)
    return file.getvalue()


def write_checkpoint(folder: Path, rng: np.random.Generator) -> None:
    path, way = folder / 'epoch_1.pth', rng.random()
    (folder / 'last_checkpoint').write_text(str(path), encoding='utf-8')
    if way < 0.6:
        modern = way > 0.1  # the format before PyTorch 1.6 has no check sums
        whole = saved_checkpoint(modern)
        path.write_bytes(damaged(whole, [saved_checkpoint(not modern), *encoded()], rng))
        if modern:
            (folder / 'damaged').touch()
    elif way < 0.8:
        path.write_bytes(repacked(saved_checkpoint(True) if way < 0.7 else saved_log(), rng))
    elif way < 0.96:
        torch.save(with_odd_value(checkpoint(), rng), path)
    else:
        evil = checkpoint() | dict(meta=_Call(folder.parent / OUTSIDE / 'executed'))
        if way < 0.98:
            torch.save(evil, path)
        else:
            path.write_bytes(pickle.dumps(evil, protocol=int(rng.integers(6))))


def repacked(archive: bytes, rng: np.random.Generator) -> bytes:
    """With another pickle, or a part of another length or missing; the check sums are right."""
    with zipfile.ZipFile(io.BytesIO(archive)) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    pickled = next(name for name in parts if name.endswith('data.pkl'))
    if rng.random() < 0.7:
        parts[pickled] = with_other_opcodes(parts[pickled], rng)
    elif rng.random() < 0.8:
        name = choose(rng, list(parts))
        parts[name] = damaged(parts[name] or b'x', [parts[pickled]], rng)
    else:
        del parts[choose(rng, list(parts))]
    target = io.BytesIO()
    with zipfile.ZipFile(target, 'w') as out:
        for name, content in parts.items():
            out.writestr(name, content)
    return target.getvalue()


def with_other_opcodes(pickled: bytes, rng: np.random.Generator) -> bytes:
    """With some opcodes twice, left out or in another place, so that states are set twice."""
    places = [place for *_, place in pickletools.genops(pickled)]
    opcodes = [pickled[one:end] for one, end in itertools.pairwise([*places, len(pickled)])]
    for _ in range(rng.integers(1, 5)):
        start, length = rng.integers(len(opcodes)), rng.integers(1, 12)
        part, place = opcodes[start:start + length], rng.integers(len(opcodes))
        if rng.random() < 0.5:
            del opcodes[start:start + length]
        opcodes[place:place] = part * int(rng.integers(3))
    return b''.join(opcodes)


def read_checkpoint(folder: Path) -> None:
    path, target = folder / 'epoch_1.pth', folder / 'exported.pth'
    describe_run(folder)
    newest_complete_checkpoint(folder)
    export(path, target, 'timm')
    if (folder / 'damaged').exists():
        whole = folder / 'whole.pth'
        whole.write_bytes(saved_checkpoint(True))
        export(whole, folder / 'of_whole.pth', 'timm')
        one, other = (load_checkpoint_file(folder / name)['state_dict']
                      for name in (target, 'of_whole.pth'))
        if one.keys() != other.keys() or not all(torch.equal(one[key], other[key]) for key in one):
            raise Fault('damage was not noticed: the exported weights are others')
