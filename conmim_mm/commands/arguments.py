"""What can be typed after ``conmim``. Imports nothing that takes time."""

import argparse
import difflib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ..utils.cli import COMMAND, add_overwrite_argument, add_trust_argument
from ..version import __version__

ARCHS = ('tiny', 's', 'b', 'l')
STUDENTS = ('visible', 'paper')
TRACKERS = ('tensorboard', 'wandb', 'mlflow')
EXPORT_FORMATS = ('timm', 'transformers', 'official', 'mmpretrain', 'onnx')
ONNX_OUTPUTS = ('cls', 'mean', 'featmap')
WEIGHTS = ('teacher', 'student')
TASKS = ('classification', 'segmentation')
MEAN_STD = ('auto', 'imagenet')
VALUE_RANGES = ('auto', 'dtype')
BANDS_FROM = ('channels', 'pages')
VIEW_DTYPES = ('uint8', 'float32')
FEATURE_FILES = ('.npz', '.parquet')


class Parser(argparse.ArgumentParser):
    """Wrong arguments end in one line, which proposes what may have been meant."""

    def error(self, message: str) -> NoReturn:
        """Ends the process with status 2."""
        _, found, unknown = message.partition('unrecognized arguments: ')
        known = [option for action in self._actions for option in action.option_strings]
        if found and (close := difflib.get_close_matches(unknown.split()[0], known, n=1)):
            message += f'; did you mean {close[0]}?'
        self.exit(2, f'error: {message} (see {self.prog} --help)\n')

    def parse_known_args(self, args=None, namespace=None):  # noqa: ANN001, D102
        # A sub-command's parser knows its own options, the one above it does not.
        namespace, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f'unrecognized arguments: {" ".join(rest)}')
        return namespace, rest

    def _check_value(self, action: argparse.Action, value: object) -> None:
        choices = list(action.choices or ())
        if action.choices is None or value in choices:
            return
        close = difflib.get_close_matches(str(value), choices, n=1)
        hint = f'; did you mean {close[0]}?' if close else f'; choose from {", ".join(choices)}'
        what = action.option_strings[0] if action.option_strings else action.metavar
        raise argparse.ArgumentError(None, f'unknown {what} {value!r}{hint}')


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of ``conmim``, with the sub-command's name as ``command``."""
    parser = Parser(
        prog=COMMAND,
        description='Pre-train a Vision Transformer with ConMIM on your own unlabelled images, '
        'look at what it learnt, and take it elsewhere.',
        epilog=f'{COMMAND} COMMAND --help tells the options of a command. Everything that these '
        'commands do can be changed in configs: see tools/train.py.')
    parser.add_argument('--version', action='version', version=__version__)
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    for name, (summary, add_arguments) in COMMANDS.items():
        command = commands.add_parser(
            name, help=summary, description=f'{summary[0].upper()}{summary[1:]}.',
            formatter_class=argparse.RawDescriptionHelpFormatter)
        add_arguments(command)
    args = parser.parse_args(_join_sides(sys.argv[1:] if argv is None else argv))
    if args.command == 'pretrain' and not (args.data or args.list_file or args.shards or (
            args.resume and args.out)):
        parser.error('pretrain needs --data DIR, a folder of images, or --list or --shards; or '
                     '--resume --out DIR to go on with a run')
    if args.command == 'pretrain' and args.allow_mismatch and not args.resume:
        parser.error('--allow-mismatch goes with --resume')
    if args.command == 'doctor' and not args.data and (
            args.channels or args.value_range or args.bands_from):
        parser.error('--channels, --value-range and --bands-from go with --data')
    if args.command in ('knn', 'linear'):
        _check_evaluation(args, parser)
    return args


def _check_evaluation(args: argparse.Namespace, parser: Parser) -> None:
    if args.task == 'segmentation':
        if args.config or not args.data:
            parser.error(f'{args.command} --task segmentation needs --data DIR, a folder of images '
                         'and maps, and takes no --config')
    elif args.ignore:
        parser.error('--ignore goes with --task segmentation')
    elif not args.data and not args.config:
        parser.error(f'{args.command} needs --data DIR, a folder of labelled images, or --config '
                     'FILE, a classification config')
    if args.cfg_options and not args.config:
        parser.error('--cfg-options goes with --config')


def _pretrain(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group('what to train')
    data.add_argument('--data', type=_path, nargs='+', metavar='DIR',
                      help='folder of images, with any sub-folders, or several, or patterns for '
                      'these; labels are not needed')
    data.add_argument('--list', type=_path, metavar='FILE', dest='list_file',
                      help='text or CSV file of the images, relative to its own folder or to '
                      '--data')
    data.add_argument('--shards', nargs='+', metavar='PATTERN',
                      help="tar files, such as 'images-{000..099}.tar', in place of --data")
    recipe = data.add_mutually_exclusive_group()
    recipe.add_argument('--arch', choices=ARCHS, metavar='{tiny,s,b,l}',
                        help='ViT-S/16, B/16, L/16, or a tiny one for machines without a GPU '
                        '(default: s with a GPU, tiny without)')
    recipe.add_argument('--config', metavar='FILE',
                        help='a pre-training config of your own, in place of --arch')
    data.add_argument('--init', metavar='WEIGHTS',
                      help='start from these: a file, a folder or a run, timm:NAME, hf:NAME or '
                      'mmpretrain:NAME; sizes and normalisation are then theirs')
    data.add_argument('--student', choices=STUDENTS, metavar='{visible,paper}',
                      help='what the student encodes: visible patches alone, a step in a third of '
                      'the time, or as in the paper mask tokens too (default: by the number of '
                      'images and epochs; with --init visible)')
    data.add_argument('--epochs', type=_positive, metavar='N',
                      help="passes over the images (default: the recipe's)")
    data.add_argument('--batch-size', type=_positive, metavar='N',
                      help='images on each GPU per step (default: by the number of images)')
    data.add_argument('--lr', type=_positive_float, metavar='X',
                      help='learning rate (default: the recipe\'s, scaled to the total batch; with '
                      '--init a tenth of it)')
    data.add_argument(_SIZE_OPTION, **_SIZE,
                      help="side of the views, in pixels, or height and width (default: the "
                      "config's, 224, or that of the weights of --init)")
    data.add_argument('--amp', action='store_true',
                      help='mixed precision, where the config has none (the recipes do)')
    data.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', default=[],
                      help='change any other setting of the config')
    _bands(parser.add_argument_group('images that are not 8-bit RGB'))
    where = parser.add_argument_group('where')
    where.add_argument('--out', type=_path, metavar='DIR',
                       help='folder of the run (default: runs/ARCH-DATA, or runs/adapted-DATA)')
    where.add_argument('--gpus', type=_positive, default=None, metavar='N',
                       help='processes, one on each GPU (default: 1)')
    again = where.add_mutually_exclusive_group()
    again.add_argument('--resume', action='store_true',
                       help='go on with the run in --out; more --epochs make it longer, --data '
                       '(--list, --shards) says where the same images are now')
    again.add_argument('--overwrite', action='store_true',
                       help='start anew; the run in --out is moved aside')
    where.add_argument('--allow-mismatch', action='store_true',
                       help='with --resume: go on with other images or settings than before')
    shown = parser.add_argument_group('what to show')
    shown.add_argument('--eval-data', type=_path, metavar='DIR',
                       help='labelled images, or images and maps, on which k-NN and a linear probe '
                       'judge the features while training')
    shown.add_argument('--track', nargs='+', choices=TRACKERS, metavar='NAME', default=[],
                       help=f'also log to {", ".join(TRACKERS)}')
    parser.epilog = (f'example:\n  {COMMAND} pretrain --data ~/photos --arch s --epochs 100 '
                     '--out runs/photos')


def _bands(images: argparse._ArgumentGroup) -> None:
    _reading(images)
    images.add_argument('--mean-std', choices=MEAN_STD, metavar='{auto,imagenet}',
                        help='what images are normalised by: auto measures it (default: imagenet '
                        'for 3 channels without --value-range, else auto)')
    images.add_argument('--view-dtype', choices=VIEW_DTYPES, metavar='{uint8,float32}',
                        help='float32 keeps the fractions of grey levels (default: uint8)')
    images.add_argument('--show-bands', type=_positive, nargs='+', metavar='N', default=[],
                        help='the channels that pictures show as red, green and blue, or one as '
                        'grey, from 1 (default: the first three, or the first)')


def _reading(images: argparse._ActionsContainer) -> None:
    images.add_argument('--channels', type=_positive, metavar='N',
                        help='of the images; others are skipped (default: 3)')
    images.add_argument('--value-range', nargs='+', action=_ValueRange, metavar='LOW HIGH',
                        help='stored values that become black and white; auto: the percentiles 0.5 '
                        'and 99.5 of the images; dtype: the range of their type of integers')
    images.add_argument('--bands-from', choices=BANDS_FROM, metavar='{channels,pages}',
                        help='what holds the bands of a TIFF file (default: channels)')


class _ValueRange(argparse.Action):

    def __call__(self, parser, namespace, values, option_string=None):  # noqa: ANN001, D102
        try:
            low, high = values if len(values) == 2 else (values[0], None)
            found = low if high is None and low in VALUE_RANGES else (float(low), float(high))
        except (TypeError, ValueError):
            parser.error(f'{option_string} needs LOW HIGH, auto or dtype, but is '
                         f'{" ".join(values)!r}')
        setattr(namespace, self.dest, found)


def _knn(parser: argparse.ArgumentParser) -> None:
    _evaluation(parser)
    parser.add_argument('--k', type=_positive, default=20, metavar='N',
                        help='neighbours (default: 20)')
    parser.add_argument('--temperature', type=_positive_float, default=0.07, metavar='X',
                        help='of their votes (default: 0.07)')


def _evaluation(parser: argparse.ArgumentParser) -> None:
    _checkpoint(parser)
    parser.add_argument('--data', type=_path, metavar='DIR',
                        help='holds train/CLASS/* and val/CLASS/*, or CLASS/*, of which every '
                        'fifth image is then held out; for segmentation images/ and annotations/, '
                        'with train/ and val/ in both or in neither')
    _task(parser)
    parser.add_argument('--config', type=_path, metavar='FILE',
                        help='a classification config, whose training images are then those to '
                        'learn from, and its test images those held out, as its test pipeline '
                        'shows them; --data takes the place of its data_root')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', default=[],
                        help='change settings of --config')
    _weights(parser)
    parser.add_argument('--json', type=_path, metavar='FILE', help='also write the result there')
    add_overwrite_argument(parser)
    _loading(parser)


def _compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('checkpoints', metavar='WEIGHTS', nargs='+', type=_path,
                        help='two or more, each as for knn; the first is what the others are '
                        'compared with; random: is an untrained one of its sizes')
    parser.add_argument('--data', required=True, type=_path, metavar='DIR',
                        help='labelled images, or images and maps, as for knn')
    _task(parser)
    _weights(parser)
    parser.add_argument('--k', type=_positive, default=20, metavar='N',
                        help='neighbours of k-NN (default: 20)')
    parser.add_argument('--out', type=_path, metavar='FIGURE', help='also draw it, as .png say')
    parser.add_argument('--json', type=_path, metavar='FILE', help='also write the numbers there')
    add_overwrite_argument(parser)
    _loading(parser)


def _embed(parser: argparse.ArgumentParser) -> None:
    _checkpoint(parser)
    parser.add_argument('--data', required=True, type=_path, metavar='DIR',
                        help='folder of images, with any sub-folders')
    parser.add_argument('--out', required=True, type=_path, metavar='FILE',
                        help=f'file to write, ending in {" or ".join(FEATURE_FILES)}')
    _weights(parser)
    add_overwrite_argument(parser)
    _loading(parser)


def _export(parser: argparse.ArgumentParser) -> None:
    _checkpoint(parser)
    parser.add_argument('target', metavar='OUT', type=_path,
                        help='file to write, ending in .pth or .onnx; for transformers a '
                        'folder')
    parser.add_argument('--format', required=True, choices=EXPORT_FORMATS,
                        metavar='{' + ','.join(EXPORT_FORMATS) + '}',
                        help='the library that is to load it')
    _weights(parser, default=None)
    parser.add_argument('--num-heads', type=_positive, metavar='N',
                        help='attention heads; needed only without relative position tables, '
                        'which tell them')
    graph = parser.add_argument_group('--format onnx')
    graph.add_argument('--output', choices=ONNX_OUTPUTS, metavar='{cls,mean,featmap}',
                       help='the class token, the mean patch token (default), or feature maps')
    graph.add_argument('--blocks', type=int, nargs='+', metavar='N',
                       help='whose feature maps, from 0; negative ones count from the end '
                       '(default: the last)')
    graph.add_argument(_SIZE_OPTION, **_SIZE | dict(type=_size_or_free),
                       help='side of the images, in pixels, or height and width, or free for '
                       'images of any size (default: as it was trained)')
    add_overwrite_argument(parser)
    add_trust_argument(parser)


def _report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('work_dir', metavar='WORK_DIR', type=_path, help='folder of a run')


def _doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--data', type=_path, metavar='DIR',
                        help='also look at these images, and how fast they are read')
    _reading(parser.add_argument_group('images that are not 8-bit RGB, as conmim pretrain'))


def _checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('checkpoint', metavar='CHECKPOINT', type=_path,
                        help='of a pre-training or a task, or an extracted backbone; a run\'s '
                        'folder for its last one; or the weights of another library, by file, '
                        'timm:NAME, hf:NAME or mmpretrain:NAME')


def _task(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--task', choices=TASKS, default=TASKS[0],
                        metavar='{' + ','.join(TASKS) + '}',
                        help='what is judged: the mean of the patch tokens by classes of images, '
                        'or each patch token by maps of labels (default: classification)')
    parser.add_argument('--ignore', nargs='+', type=_not_negative, metavar='LABEL', default=[],
                        help='labels of maps that do not count, besides 255; 0 in ADE20K')


def _weights(parser: argparse.ArgumentParser, default: str | None = 'teacher') -> None:
    parser.add_argument('--weights', choices=WEIGHTS, default=default, metavar='{teacher,student}',
                        help='whose, of a pre-training checkpoint (default: teacher)')


def _loading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(_SIZE_OPTION, **_SIZE,
                        help='side of the images, in pixels, or height and width (default: as it '
                        'was trained)')
    parser.add_argument('--batch-size', type=_positive, default=64, metavar='N',
                        help='images at once (default: 64)')
    parser.add_argument('--workers', type=_not_negative, metavar='N',
                        help='processes that read images (default: one per core, at most 16)')
    add_trust_argument(parser)


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # no such user
        raise argparse.ArgumentTypeError(f'no home folder for {text!r}') from None


def _positive(text: str) -> int:
    if (number := _not_negative(text)) == 0:
        raise argparse.ArgumentTypeError('must be at least 1, but is 0')
    return number


def _join_sides(words: Sequence[str]) -> list[str]:
    """Height and width behind --img-size as one word, so that a path may come behind them."""
    joined: list[str] = []
    for word in map(str, words):
        option, _, sides = joined[-1].partition('=') if joined else ('', '', '')
        is_size = len(option) > len('--i') and _SIZE_OPTION.startswith(option)
        if is_size and 'x' not in sides and word.isascii() and word.isdecimal():
            joined[-1] += f'x{word}' if sides else f'={word}'
        else:
            joined.append(word)
    return joined


def _size(text: str) -> int | tuple[int, ...]:
    if not re.fullmatch(r'\d+(x\d+)?', text, re.ASCII):
        raise argparse.ArgumentTypeError('must be N, the side of a square, or HEIGHT WIDTH, but is '
                                         f'{text!r}')
    sides = tuple(map(_positive, text.split('x')))
    return sides if len(sides) == 2 else sides[0]


def _size_or_free(text: str) -> int | tuple[int, ...] | str:
    return text if text == 'free' else _size(text)


def _not_negative(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(f'must be a whole number, but is {text!r}')
    return int(text)


def _positive_float(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.
    if not 0 < number < float('inf'):
        raise argparse.ArgumentTypeError(f'must be a number above 0, but is {text!r}')
    return number


_SIZE_OPTION = '--img-size'
_SIZE = dict(type=_size, metavar='N')

COMMANDS = dict(
    pretrain=('pre-train on a folder of images', _pretrain),
    knn=('k-NN accuracy of frozen features on labelled images or maps', _knn),
    linear=('accuracy of a linear probe on labelled images or maps', _evaluation),
    compare=('k-NN and linear probe of several backbones, with a paired test', _compare),
    embed=('write the features of a folder of images to a file', _embed),
    export=('write the backbone for another library', _export),
    report=('write the report of a run anew', _report),
    doctor=('check this machine and installation, and say what to fix', _doctor))
