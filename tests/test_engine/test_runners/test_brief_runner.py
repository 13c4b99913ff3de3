"""What a run of ``conmim pretrain`` prints, and what its log has."""

from conmim_mm.engine import BriefRunner

from ...toy import run_cfg


def test_listings_go_to_the_file_alone(images, tmp_path, capsys) -> None:
    runner = BriefRunner.from_cfg(run_cfg(images, tmp_path) | dict(log_level='INFO'))
    runner.logger.info('one line')
    runner.logger.warning('a\nlong\nwarn\ning')
    runner.train()
    shown = capsys.readouterr().out
    log, = tmp_path.glob('*/*.log')
    for words in ('one line', 'a\nlong\nwarn\ning'):
        assert words in shown and words in log.read_text()
    for words in ('System environment:', 'Config:\n', 'Hooks will be executed'):
        assert words in log.read_text() and words not in shown
