"""Is what conmim_mm needs installed, in versions that fit each other, and can it be imported?"""

import contextlib
import io
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata

from ...errors import one_line
from .checks import NOTE, OK, PROBLEM, Check, try_import

DISTRIBUTION = 'conmim_mm'
# The maintained continuations and the originals they take the place of: the same import names.
CONFLICTING_DISTRIBUTIONS = {
    'onedl-mmengine': 'mmengine', 'onedl-mmcv': 'mmcv', 'onedl-mmpretrain': 'mmpretrain',
    'onedl-mmsegmentation': 'mmsegmentation', 'onedl-mmdetection': 'mmdet'}
OPENCV = ('opencv-python', 'opencv-python-headless', 'opencv-contrib-python',
          'opencv-contrib-python-headless')
TOOLBOXES = dict(mmseg='segmentation (UperNet)', mmdet='detection (Mask R-CNN)')
_REINSTALL = 'install PyTorch and torchvision again, both from the same place'
# By module: the name, what it is not tried without, and what to do where it can't be imported.
IMPORTS = dict(
    torch=('PyTorch', '', _REINSTALL), torchvision=('torchvision', 'torch', _REINSTALL),
    cv2=('OpenCV', '', "pip install --force-reinstall 'opencv-python<5'"),
    mmengine=('mmengine', '', 'pip install --force-reinstall --no-deps onedl-mmengine'),
    mmcv=('mmcv', 'mmengine', 'pip install --force-reinstall --no-deps onedl-mmcv'))


def installed(name: str) -> str | None:
    """Version of a distribution, without importing it; None if it is not there."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_python() -> Iterator[Check]:
    """Python itself."""
    found = f'{platform.python_version()} at {sys.executable}'
    fits = (3, 11) <= sys.version_info[:2] <= (3, 12)
    yield Check(OK if fits else NOTE, 'Python', found,
                '' if fits else 'tried with Python 3.11; 3.12 should do')


def check_versions() -> Iterator[Check]:
    """What the installed package asks for against what is there."""
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        yield Check(NOTE, 'conmim_mm', 'used without being installed, so no versions are compared',
                    'pip install -c requirements/constraints.txt -e .')
        return
    good = []
    for requirement in map(Requirement, lines):
        if requirement.marker and not requirement.marker.evaluate(dict(extra='')):
            continue
        version = installed(requirement.name) or installed(
            CONFLICTING_DISTRIBUTIONS.get(requirement.name, ''))
        if version is None:
            yield missing(requirement.name, str(requirement.specifier))
        elif not requirement.specifier.contains(version, prereleases=True):
            yield Check(PROBLEM, requirement.name, f'{version} is not {requirement.specifier}',
                        f"pip install '{requirement.name}{requirement.specifier}'")
        else:
            good.append(f'{requirement.name} {version}')
    yield Check(OK, 'versions', f'{len(good)} packages within their ranges: '
                + ', '.join(line for line in good if re.match('torch|onedl', line)))


def missing(name: str, versions: str) -> Check:
    """A requirement that is not installed."""
    advice = f"pip install '{name}{versions}'"
    if name == 'simplejpeg':
        return Check(NOTE, name, 'not installed: JPEG files are read more slowly', advice)
    return Check(PROBLEM, name, 'not installed', advice)


def check_conflicting_distributions() -> Iterator[Check]:
    """Distributions that write over each other's files."""
    for new, old in CONFLICTING_DISTRIBUTIONS.items():
        if installed(new) and installed(old):
            yield Check(PROBLEM, old, f'{old} {installed(old)} and {new} {installed(new)} have the '
                        'same files', f'pip uninstall -y {old} {new} && pip install {new}')
    cv = [name for name in OPENCV if installed(name)]
    if len({installed(name) for name in cv}) > 1:
        found = ', '.join(f'{name} {installed(name)}' for name in cv)
        yield Check(PROBLEM, 'OpenCV', f'{found}: they write over each other',
                    f'pip uninstall -y {" ".join(cv)} && pip install {cv[0]}=={installed(cv[0])}')
    transformers = installed('transformers')
    if transformers and int(transformers.partition('.')[0]) >= 5:
        yield Check(PROBLEM, 'transformers', f'{transformers}: mmpretrain 1.3 cannot be imported '
                    'beside 5', "pip install 'transformers<5'")


def check_imports() -> Iterator[Check]:
    """The libraries on which all else stands; what needs one that fails is not tried."""
    failed = set()
    for module, (name, needed, advice) in IMPORTS.items():
        if needed in failed:
            continue
        library, why = try_import(module)
        if library is None:
            failed.add(module)
            if module == 'cv2' and re.search('libGL|libgthread|libglib', why):
                advice = ("pip install --force-reinstall --no-deps 'opencv-python-headless<5' (or, "
                          'on Debian: apt-get install libgl1 libglib2.0-0)')
            beside = ' beside PyTorch' if module == 'torchvision' else ''
            yield Check(PROBLEM, name, f'cannot be imported{beside}: {why}', advice)
        elif module == 'torch':
            built = f'built for CUDA {library.version.cuda}' if library.version.cuda else 'for CPUs'
            yield Check(OK, name, f'{library.__version__}, {built}')
        else:
            yield Check(OK, name, library.__version__)
    if not failed & {'mmengine', 'mmcv'}:
        yield check_registration()


def check_registration() -> Check:
    """Whether the components of conmim_mm register, which takes all of OpenMMLab."""
    package, _ = try_import(DISTRIBUTION)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # mmpretrain's remarks
            package.register_all_modules()
    except Exception as error:
        return Check(PROBLEM, DISTRIBUTION, f'its components cannot be imported: '
                     f'{type(error).__name__}: {one_line(error)[:200]}',
                     'mend the problems above first; then run `conmim doctor` again')
    return Check(OK, DISTRIBUTION, f'{package.__version__}, all components registered')


def check_toolboxes() -> Iterator[Check]:
    """What the transfer to other tasks needs."""
    _, why = try_import('mmcv._ext')
    if why:
        yield Check(NOTE, "mmcv's ops", 'not compiled (only detection needs them)',
                    '`make env-full` in a checkout compiles them')
    else:
        yield Check(OK, "mmcv's ops", 'compiled')
    for name, task in TOOLBOXES.items():
        distribution = 'onedl-mmsegmentation' if name == 'mmseg' else 'onedl-mmdetection'
        version = installed(distribution) or installed(CONFLICTING_DISTRIBUTIONS[distribution])
        yield Check(OK if version else NOTE, name,
                    version or f'not installed (only {task} needs it)',
                    '' if version else f'pip install {distribution}')
