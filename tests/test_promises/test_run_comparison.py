import json
from pathlib import Path

import torch
from run_comparison import (
    SAVED_PARTS,
    differences,
    entries_by_step,
    run_differences,
)


def test_differences_are_named() -> None:
    one = dict(weights=dict(a=torch.zeros(2), b=torch.ones(1)), steps=[1, 2])
    same = dict(weights=dict(a=torch.zeros(2), b=torch.ones(1)), steps=[1, 2])
    assert differences(one, same) == []
    other = dict(weights=dict(a=torch.tensor([0., 1e-45]), b=torch.ones(1)), steps=[1, 3])
    assert differences(one, other) == ['weights.a', 'steps[1]']
    assert differences(one, dict(weights=one['weights'])) == ['']
    assert differences((1, 2), [1, 2], 'pair') == ['pair']
    assert differences(dict(x=1), dict(x=1.), 'log') == ['log.x']
    assert differences(float('nan'), float('nan')) == []
    assert differences(float('nan'), 0., 'loss') == ['loss']


def write_run(folder: Path, loss: float, time: float) -> Path:
    log = folder / 'now' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text(json.dumps(dict(step=1, loss=loss, time=time)) + '\n{"step": 2, "lo')
    torch.save(dict.fromkeys(SAVED_PARTS, dict(a=torch.zeros(1))), folder / 'iter_1.pth')
    (folder / 'last_checkpoint').write_text('elsewhere/iter_1.pth')
    return folder


def test_runs_are_compared_but_for_times(tmp_path) -> None:
    one = write_run(tmp_path / 'one', loss=0.5, time=1)
    assert entries_by_step(one) == {1: dict(step=1, loss=0.5)}  # and not the line cut off
    assert run_differences(one, write_run(tmp_path / 'same', loss=0.5, time=2)) == []
    assert run_differences(one, write_run(tmp_path / 'other', loss=0.6, time=1)) == ['log.1.loss']
