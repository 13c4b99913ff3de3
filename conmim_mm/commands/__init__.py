"""The command line ``conmim``: gives what is typed to :mod:`conmim_mm.apis`, and prints."""

import json
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from shlex import quote

from ..utils.cli import COMMAND, run_tool
from .arguments import parse_arguments

MAX_NAMED = 10  # unreadable images
# beside a result
RECORDED = ('checkpoint', 'task', 'weights', 'data', 'config', 'ignore', 'k', 'temperature')


def main(argv: Sequence[str] | None = None) -> None:
    """Runs ``conmim``.

    Args:
        argv: The words after ``conmim``; by default those that the process was started with.
    """
    options = vars(parse_arguments(argv))
    command = _COMMANDS[options.pop('command')]

    def run() -> None:
        if 'cfg_options' in options:
            from ..utils.run_config import option_texts

            options['cfg_options'] = option_texts(options['cfg_options'])
        command(**options)

    run_tool(run)


def _pretrain(**options: object) -> None:
    from ..apis import pretrain
    from ..utils.work_dir import last_checkpoint

    out = pretrain(**options, say=partial(print, flush=True), in_place=True)
    run = quote(str(out))
    print(f'finished: {last_checkpoint(out)}. Judge it on labelled images with '
          f'`{COMMAND} knn {run} --data DIR`, take its features with '
          f'`{COMMAND} embed {run} --data DIR --out FILE.npz`')


def _knn(**options: object) -> None:
    from ..apis import dense_knn, knn

    _evaluate(dict(classification=knn, segmentation=dense_knn), f'{options["k"]}-NN', options)


def _linear(**options: object) -> None:
    from ..apis import dense_linear, linear

    _evaluate(dict(classification=linear, segmentation=dense_linear), 'linear probe', options)


def _evaluate(functions: dict[str, Callable], name: str, options: dict) -> None:
    from ..utils.files import check_new, write_text

    path, overwrite, task = (options.pop(key) for key in ('json', 'overwrite', 'task'))
    if path:
        check_new(path, overwrite)
    of_other_task = ('config', 'cfg_options') if task == 'segmentation' else ('ignore', )
    for key in of_other_task:
        options.pop(key)
    found = functions[task](**options)
    result = found._asdict()
    if task == 'segmentation':
        del result['counts']  # of each image
        what, value, labelled = 'mIoU', found.miou, 'with maps'
    else:
        what, value, labelled = 'top-1', found.top1, 'with labels'
    print(f'{name} {what}: {value:.2%} (standard error {found.standard_error:.2%}) on '
          f'{found.num_images:,} held-out images, from {found.num_reference:,} {labelled} of '
          f'{found.num_classes:,} classes')
    if path:
        named = {key: options[key] for key in RECORDED if key in options}
        write_text(path, json.dumps(result | named, indent=2, default=str) + '\n')


def _compare(**options: object) -> None:
    from ..apis import compare
    from ..utils.files import check_new, write_text

    path = options.pop('json')
    if path:
        check_new(path, options['overwrite'])
    found = compare(**options)
    width = max(map(len, found.scores))
    what, test = (('mIoU', 'the paired jackknife') if options['task'] == 'segmentation' else
                  ('top-1', "McNemar's exact test"))
    print(f'{what} on {found.num_images:,} held-out images, from {found.num_reference:,} of '
          f'{found.num_classes:,} classes; ± is a standard error, in brackets the difference to '
          f'the first, p by {test}')
    for name, scores in found.scores.items():
        print(f'{name:<{width}}' + ''.join(f'   {_score(*one)}' for one in scores.items()))
    if path:
        named = {key: options[key] for key in RECORDED if key in options}
        scores = {name: {judge: score._asdict() | dict(
            difference=score.difference and score.difference._asdict())
            for judge, score in scores.items()} for name, scores in found.scores.items()}
        write_text(path, json.dumps(found._asdict() | dict(scores=scores) | named, indent=2,
                                    default=str) + '\n')


def _score(judge: str, score: tuple) -> str:
    value, error, difference = score
    text = f'{judge} {100 * value:5.2f} ± {100 * error:.2f} %'
    if difference is None:
        return text
    value, error, p_value = difference
    return f'{text} ({100 * value:+.2f} ± {100 * error:.2f}, p = {p_value:.2g})'


def _embed(**options: object) -> None:
    from ..apis import embed

    found = embed(**options, progress=True)
    print(f'wrote {found.path}: {found.num_images:,} images x {found.width} features'
          + (', with labels' if found.with_labels else ''))
    if found.unreadable:
        print(f'left out {len(found.unreadable):,} that cannot be read:')
        for path, reason in found.unreadable[:MAX_NAMED]:
            print(f'  {path}: {reason}')
        if len(found.unreadable) > MAX_NAMED:
            print(f'  and {len(found.unreadable) - MAX_NAMED:,} more')


def _export(**options: object) -> None:
    from ..apis import export

    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: print(f'warning: {message}', file=sys.stderr)
        line = export(**options)
    is_ours = options['format'] == 'mmpretrain'
    print(f'wrote {options["target"]}; '
          + ('a config of a task takes it with' if is_ours else 'it is loaded by'))
    print(line)


def _report(work_dir: Path) -> None:
    from ..apis import report

    print(f'wrote {report(work_dir)}')


def _doctor(data: Path | None, **reading: object) -> None:
    # does without the components, and says what is wrong where these can't be imported
    from .doctor.doctor import run

    run(data, **reading)


_COMMANDS = dict(pretrain=_pretrain, knn=_knn, linear=_linear, compare=_compare, embed=_embed,
                 export=_export, report=_report, doctor=_doctor)
