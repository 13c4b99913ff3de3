"""tools/benchmarks/bench_reading.py: each way reads the files."""

import re

import bench_reading
import numpy as np
import tifffile


def test_each_way_is_measured(run_script, tmp_path, capsys) -> None:
    for number in range(3):
        tifffile.imwrite(tmp_path / f'{number}.tif', np.full((40, 40, 5), number, 'uint16'),
                         photometric='minisblack', planarconfig='contig')
    run_script(bench_reading, tmp_path, '--channels', '5', '--value-range', '0', '9', '--rounds',
               '1', '--img-size', '32')
    lines = capsys.readouterr().out.splitlines()
    assert [re.sub(r' +[\d,]+ images/s +\d+%', ':', line) for line in lines] == [
        f'{name}: of tifffile alone' for name in ('tifffile alone', 'grey levels', 'both views')]
