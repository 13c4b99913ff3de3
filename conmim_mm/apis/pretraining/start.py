"""From images to a pre-training, through a config that is written down."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import torch
from mmengine.utils import import_modules_from_strings

from ...errors import InputError, one_line
from ...utils.cli import explain
from ...utils.files import writing
from ...utils.run_config import fit_to_machine
from ...utils.shipped_files import RECIPES, shipped_file
from ...utils.sizes import short_size, to_size
from ...utils.work_dir import log_entries
from ...utils.work_dir_lock import WorkDirInUseError, locked
from ...utils.written_config import read_written_config
from ..options import set_mismatch
from ..train import run_training
from .plan import STARTED_WITH, PretrainOptions, plan_run
from .resumed_run import Resumption, resumed_run
from .run_folder import CONFIG, check_folder, discard, move_aside
from .sources import Places, check_outside, find_sources

MISMATCH_OPTIONS = dict(rescale='--elastic', allow='--allow-mismatch')  # of tools/train.py


def pretrain(data: Places | None = None, out: str | Path | None = None, *,
             list_file: str | Path | None = None, shards: str | Sequence[str] | None = None,
             init: str | Path | None = None, arch: str | None = None, student: str | None = None,
             config: str | Path | None = None, epochs: int | None = None,
             batch_size: int | None = None, lr: float | None = None,
             img_size: int | Sequence[int] | None = None, amp: bool = False,
             cfg_options: dict | None = None, gpus: int | None = None, resume: bool = False,
             overwrite: bool = False, allow_mismatch: bool = False,
             eval_data: str | Path | None = None, track: Sequence[str] = (),
             channels: int | None = None, value_range: Sequence[float] | str | None = None,
             mean_std: str | None = None, bands_from: str | None = None,
             view_dtype: str | None = None, show_bands: Sequence[int] | int = (),
             say: Callable[[str], object] = lambda line: None, in_place: bool = False) -> Path:
    """Pre-trains on images, or goes on with a run.

    Args:
        data: Folder of images, with any sub-folders, or several, or patterns for these; a new run
            needs it, or one of the next but one.
        out: Folder of the run; by default ``runs/ARCH-DATA``.
        list_file: Names the images, relative to the file's own folder, or to ``data``; as for
            ``ann_file`` of :class:`ImageFiles`.
        shards: Tar files with images, as for :class:`TarShards`.
        init: Weights to start from, as for :func:`read_source`, in place of ``arch``: sizes,
            patches, normalisation and the side of the views are theirs.
        arch: ``'s'``, ``'b'`` or ``'l'`` for ViT-S/16, B/16 and L/16, ``'tiny'`` for machines
            without a GPU; by default ``'s'`` with a GPU, ``'tiny'`` without.
        student: ``'visible'`` for a student that encodes the visible patches alone, ``'paper'`` for
            the paper's, with mask tokens; by default the one for this many images and epochs.
        config: A pre-training config of one's own, in place of ``arch`` and ``student``.
        epochs: Passes over the images; by default the recipe's.
        batch_size: Images on each GPU per step; by default by the number of images.
        lr: Learning rate; by default the recipe's, scaled to the total batch.
        img_size: Side of the views, in pixels, or ``(height, width)``; by default the config's.
        amp: Mixed precision, where the config has none (the recipes do).
        cfg_options: Changes to any other setting of the config, by dotted key.
        gpus: Processes, one on each GPU. More than one are started beside this process.
        resume: Go on with the run in ``out``; more ``epochs`` make it longer, and ``data``,
            ``list_file`` or ``shards`` say where its images are now; of a list what is not given
            stays, its file or the folder of its paths.
        overwrite: Start anew; a run in ``out`` is moved aside.
        allow_mismatch: With ``resume``: go on with other images or settings than before; what is
            given of ``data``, ``list_file`` and ``shards`` takes the place of all three.
        eval_data: Labelled images, or images and maps, on which the features are judged while
            training.
        track: Where else to log to: ``'tensorboard'``, ``'wandb'``, ``'mlflow'``.
        channels: Of the images; by default 3, or those of ``config`` or ``init``.
        value_range: ``(low, high)``, the stored values that become black and white; ``'auto'`` for
            percentiles of the images, ``'dtype'`` for the whole range of their type of integers. By
            default as an :class:`ImageReading` has it.
        mean_std: ``'auto'`` to measure what the images are normalised by, ``'imagenet'``; by
            default the latter for three channels without a ``value_range``.
        bands_from: ``'pages'`` where the pages of a TIFF file are its bands.
        view_dtype: ``'float32'`` to keep the fractions of grey levels.
        show_bands: Which channels pictures show as red, green and blue, or one as grey, from 1; by
            default the first three, or the first.
        say: Gets what is worth knowing of the run before it starts, such as its plan.
        in_place: With several processes: let them take the place of this one, so that signals and
            the exit status are theirs. The call then does not return.

    Returns:
        The folder of the run, which the other functions take for its last checkpoint.

    Raises:
        InputError: Options that don't fit each other, the images, or what is in the folder.
        subprocess.CalledProcessError: One of several processes failed.
    """
    there = torch.cuda.device_count()  # without any, processes share the CPU
    if there and (gpus or 1) > there:
        raise InputError(f'--gpus {gpus}, but there are {there} GPUs here')
    for option, value, choices in (('--arch', arch, RECIPES['paper']),
                                   ('--student', student, RECIPES)):
        if value and (config or value not in choices):
            raise InputError(f'give --config, or {option} as one of {", ".join(choices)}; not '
                             f'{value!r}')
    if init and arch:
        raise InputError('give --init or --arch: the sizes are those of the weights')
    if not (out and resume) and not (data or list_file or shards):
        raise InputError('give --data, a folder of images; or --list or --shards; or --resume and '
                         '--out to go on with a run')
    # what can be trained here within a sensible time
    usual = 's' if torch.cuda.is_available() else 'tiny'
    if not (resume or config or arch or init):
        arch = usual
    if not out:
        name = 'adapted' if init else Path(config or arch or usual).stem
        out = f'runs/{name}-{find_sources(data, list_file, shards).name}'
    out = Path(os.path.abspath(out))  # without any '..', so that a folder can lie beside it
    options = PretrainOptions(
        data=data, list_file=list_file, shards=shards, out=out, init=init and str(init),
        arch=arch, student=student, config=config and str(config), epochs=epochs,
        batch_size=batch_size, lr=lr, img_size=img_size and short_size(to_size(img_size)), amp=amp,
        cfg_options=cfg_options or {}, gpus=gpus, resume=resume, overwrite=overwrite,
        allow_mismatch=allow_mismatch, eval_data=eval_data and Path(eval_data), track=tuple(track),
        channels=channels,
        value_range=value_range if value_range is None or isinstance(value_range, str)
        else tuple(value_range), mean_std=mean_std, bands_from=bands_from, view_dtype=view_dtype,
        show_bands=(show_bands, ) if isinstance(show_bands, int) else tuple(show_bands))
    if resume:
        if not out.is_dir():
            raise InputError(f'there is no run in {out}: start one without --resume')
        with locked(out):
            how = resume_run(options, say)
        if not how.is_finished:
            start(out, how, in_place)
    else:
        start_new(options, say, in_place)
    return out


def resume_run(options: PretrainOptions, say: Callable[[str], object]) -> Resumption:
    """As :func:`resumed_run`.

    Raises:
        InputError: As there; or the run's config is of another shape than it was written in.
    """
    try:
        return resumed_run(options, say)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if explain(error):
            raise
        raise InputError(f'{options.out / CONFIG} is not as it was written '
                         f'({type(error).__name__}: {one_line(error)}): correct it, '
                         'or choose another --out for a new run') from error


def start_new(options: PretrainOptions, say: Callable[[str], object], in_place: bool) -> None:
    """Plans a run, writes its config and trains; as :func:`pretrain`."""
    out = options.out
    check_run_folders(options)
    plan = plan_run(options)
    with emptied(out, options.overwrite) as earlier, taking_back(out, earlier, say):
        plan.write(out / CONFIG)
    with taking_back(out, earlier, say):
        if earlier:
            say(f'the earlier run is in {earlier} now')
        say(plan.summary())
        start(out, Resumption(None, False, options.gpus or 1), in_place)


@contextmanager
def emptied(out: Path, overwrite: bool) -> Iterator[Path | None]:
    """Holds the folder of a new run; yields where a run that was in it is now, None without one.

    Raises:
        InputError: Another run is in it, or something that must stay.
    """
    with ExitStack() as held:
        held.enter_context(locked(out))
        check_folder(out, overwrite)  # the same command may have been started twice
        with writing(out):
            earlier = move_aside(out)
        if earlier:  # and the lock with it
            held.enter_context(locked(out))
            check_folder(out, overwrite=False)
        yield earlier


@contextmanager
def taking_back(out: Path, earlier: Path | None, say: Callable[[str], object]) -> Iterator[None]:
    """Around what a new run starts with: if it fails, all is as before, unless a run is there.

    Else the corrected command would find a run there.

    Args:
        out: As for :func:`discard`.
        earlier: As there.
        say: As for :func:`pretrain`.
    """
    try:
        yield
    except WorkDirInUseError:  # of which nothing is taken back
        raise
    except Exception:
        # several processes do not tell that they found another run there
        with suppress(InputError, OSError), locked(out):
            has_begun = any(out.glob('*.pth')) or any(log_entries(out))
            if not has_begun and discard(out, earlier):
                with suppress(Exception):  # which may be what failed
                    say(f'the earlier run is in {out} again')
        raise


def check_run_folders(options: PretrainOptions) -> None:
    """Checks the folders of a new run.

    Raises:
        InputError: No such images, or no place of its own for the run.
    """
    out = options.out
    if options.eval_data and not options.eval_data.is_dir():
        raise InputError(f'--eval-data: no such folder: {options.eval_data}')
    if Path.cwd().is_relative_to(out.resolve()):
        raise InputError(f'--out {out} is the folder you are in, or one above it: give the run a '
                         'folder of its own')
    check_outside(out, options.sources)
    with writing(out):
        check_folder(out, options.overwrite)


def start(out: Path, how: Resumption, in_place: bool) -> None:
    """Starts the training of a written config, in this process or in several of its own.

    Args:
        out: Folder of the run.
        how: To go on, or to start where it names no checkpoint.
        in_place: As for :func:`pretrain`.

    Raises:
        InputError: Several processes, and no bash.
        subprocess.CalledProcessError: One of them failed.
    """
    config = str(out / CONFIG)
    if how.processes > 1:
        bash = shutil.which('bash')
        if bash is None:
            raise InputError('--gpus needs bash, which is not installed here')
        words = ['bash', str(shipped_file('tools/dist_train.sh')), config, str(how.processes),
                 '--work-dir', str(out), *['--resume'] * bool(how.checkpoint)]
        words += [MISMATCH_OPTIONS[how.mismatch]] if how.mismatch else []
        environment = os.environ | dict(PYTHON=sys.executable)
        if in_place:
            sys.stdout.flush()
            os.execve(bash, words, environment)
        subprocess.run(words, executable=bash, env=environment, check=True)
        return
    cfg = read_written_config(out / CONFIG)
    if cfg.get('custom_imports'):
        import_modules_from_strings(**cfg.custom_imports)
    cfg.launcher, cfg.work_dir = 'none', str(out)
    os.environ.setdefault('LOCAL_RANK', '0')
    fit_to_machine(cfg)
    if how.mismatch:
        set_mismatch(cfg, how.mismatch)
    if how.checkpoint:  # which has been found whole already
        cfg.load_from, cfg.resume = str(how.checkpoint), True
    run_training(cfg, elastic=how.mismatch == 'rescale',
                 options=cfg[STARTED_WITH].get('cfg_options'))
