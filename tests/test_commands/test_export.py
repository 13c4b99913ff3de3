"""conmim export and report; the formats themselves are tested with tools/model_converters."""

import sys
from pathlib import Path
from types import SimpleNamespace

import torch

from conmim_mm.commands import main
from conmim_mm.formats.backbone import load_backbone
from conmim_mm.utils.work_dir import last_checkpoint


def test_small_file_for_mmpretrain(toy, tmp_path, capsys, fails) -> None:
    out = tmp_path / 'backbone.pth'
    main(['export', str(toy.out), str(out), '--format', 'mmpretrain', '--weights', 'student'])
    assert f'init_cfg.checkpoint={out}' in capsys.readouterr().out
    expected = load_backbone(last_checkpoint(toy.out), 'student').state_dict()
    found = load_backbone(out).state_dict()  # whose they are stands in the file
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in found)
    assert 'exists already' in fails('export', toy.out, out, '--format', 'mmpretrain')


def test_other_libraries(toy, tmp_path, capsys, fails) -> None:
    main(['export', str(toy.out), str(tmp_path / 'out.pth'), '--format', 'timm'])
    assert capsys.readouterr().out.splitlines()[-1].startswith('import timm; model = timm.create')
    line = fails('export', toy.out, tmp_path / 'out.bin', '--format', 'official')
    assert 'must end in .pth for --format official' in line


def test_report(toy, tmp_path, capsys, fails, monkeypatch) -> None:
    def build_report(work_dir: Path) -> Path:
        return work_dir / 'report.html'

    monkeypatch.setitem(sys.modules, 'conmim_mm.report',
                        SimpleNamespace(build_report=build_report))
    main(['report', str(toy.out)])
    assert capsys.readouterr().out == f'wrote {toy.out}/report.html\n'
    assert 'no such folder' in fails('report', tmp_path / 'none')
    assert 'there is no run in' in fails('report', tmp_path)
