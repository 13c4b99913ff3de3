"""What the command-line tools share: errors of one line, and the option to trust a file."""

import argparse
import difflib
import errno
import gc
import io
import os
import re
import sys
from collections.abc import Callable

from ..errors import InputError, one_line

_UNKNOWN_TYPE = re.compile(r"(\S+) is not in the ([\w-]+)::([\w ]+) registry")
EMPTY_DATA_SET = 'need at least one array to concatenate'  # MMEngine's, packing no samples
_UNKNOWN_ARGUMENT = re.compile(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'")
# a full disk, a forbidden or read-only place, a network drive that is away
_OF_THE_MACHINE = frozenset((
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ESTALE,
    errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG))
# what PyTorch says, and what helps
_WORKER_FAILURES = tuple((re.compile(words), advice) for words, advice in (
    (r'Bus error|shared memory|</?torch_\w+>: No space left',
     '/dev/shm is too small for what the data workers hand over: start docker with --shm-size=8g '
     '(or --ipc=host)'),
    ('Too many open files|ancdata', 'too many open files: ulimit -n 65536'),
    (r'worker \(pid\S* [\d, ]+\) (is killed by signal|exited unexpectedly)|\] \w+ reset by peer',
     'a data worker ended: for the reason it gave above, or killed, as by a full memory')))

USER_ERROR_STATUS = 2
INTERRUPTED_STATUS = 130

COMMAND = 'conmim'


def run_tool(main: Callable[[], None]) -> None:
    """Runs a tool; what the user can put right ends it with one line on stderr and status 2.

    Any other exception keeps its traceback. Of several processes each prints its own reason. Ctrl-C
    ends it with status 130, as in a shell, where no run is there to be saved.

    Args:
        main: The tool's main function.
    """
    status = _status_of(main)
    # What a run has left ends here. Threads of its process group that outlived the interpreter
    # would abort the process once they let go of a tensor (pytorch/pytorch#190489).
    gc.collect()
    if status is not None:
        raise SystemExit(status)


def _status_of(main: Callable[[], None]) -> int | str | None:
    """Runs a tool as :func:`run_tool` says; its exit status, None where it ended by itself."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name may be of bytes that it cannot write
            stream.reconfigure(errors='backslashreplace')
    # What is imported by now stays to the end; to look through it for garbage would take a quarter
    # of a second each time, and the interpreter does so several times when it ends.
    gc.freeze()
    try:
        main()
    except (InputError, KeyError, TypeError, ValueError, OSError, RuntimeError) as error:
        reason = explain(error)
        if reason is None:
            raise
        rank = os.environ.get('RANK', '0')
        where = '' if rank == '0' else f'[rank {rank}] '
        print(f'{where}error: {reason}', file=sys.stderr, flush=True)
        return USER_ERROR_STATUS
    except KeyboardInterrupt:
        return INTERRUPTED_STATUS
    except SystemExit as end:
        return end.code or 0
    return None


def explain(error: Exception) -> str | None:
    """The one line for an error the user can put right; None for any other.

    Args:
        error: An :class:`InputError`, or what MMEngine and data sets raise for a component type, an
            argument or a file that does not exist.
    """
    text = one_line(error.args[0] if error.args else error)
    if isinstance(error, InputError):
        # From a data worker the reason comes at the end of that process' traceback.
        return text.rpartition(f'{type(error).__name__}: ')[2]
    if isinstance(error, KeyError) and (match := _UNKNOWN_TYPE.search(text)):
        name, scope, kind = match.groups()
        return f'unknown {kind} type {name.strip(chr(39))!r} in the config{_suggest(name, kind)}'
    if isinstance(error, FileNotFoundError):
        # a data worker's reason comes at the end of its traceback
        missing = error.filename or text.rpartition('FileNotFoundError: ')[2]
        return f'no such file or folder: {missing} (is --data-root, or data_root, right?)'
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        return (f'cannot read or write {error.filename or "a file"}: {error.strerror}; what was '
                'saved before is kept')
    if isinstance(error, ValueError) and EMPTY_DATA_SET in text:
        return ('no sample is left in the data set: are --data-root, ann_file and data_prefix '
                'right, and do the annotations name metainfo.classes?')
    if isinstance(error, OSError | RuntimeError):
        for words, advice in _WORKER_FAILURES:
            if words.search(str(error)):
                return f'{advice}; or a smaller train_dataloader.num_workers or batch_size'
    if isinstance(error, TypeError) and (match := _UNKNOWN_ARGUMENT.search(text)):
        component, argument = match.groups()
        return f'{component} has no setting {argument!r}; remove it from the config or correct it'
    return None


def add_trust_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the option that lets checkpoints hold more than plain data, here and in children."""
    parser.add_argument(
        '--trust-checkpoint', action=_TrustCheckpoints, nargs=0, default=argparse.SUPPRESS,
        help='load a checkpoint that holds more than plain weights, which lets it run any code')


def add_overwrite_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the option that lets a file be replaced, see :func:`conmim_mm.utils.files.check_new`."""
    parser.add_argument('--overwrite', action='store_true', help='replace the file if it exists')


class _TrustCheckpoints(argparse.Action):

    def __call__(self, *_: object) -> None:
        from ..checkpoint.reading import TRUST_VARIABLE

        os.environ[TRUST_VARIABLE] = '1'


def _suggest(name: str, kind: str) -> str:
    import mmpretrain.registry as registries

    known = [
        key for registry in vars(registries).values()
        if getattr(registry, 'name', None) == kind for key in registry.module_dict
    ]
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f'; did you mean {" or ".join(close)}?' if close else ''
