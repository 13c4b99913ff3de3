"""Where the recipes and scripts lie: in the checkout, or in the installed package."""

from pathlib import Path

from ..errors import InputError

PACKAGE = Path(__file__).parents[1]
# by the form of the student, and the size of the ViT
RECIPES = dict(
    visible=dict(
        tiny='vit-tiny_visible_1xb8_images-224px.py', s='vit-s_visible_8xb256.py',
        b='vit-b_visible_8xb256.py', l='vit-l_visible_8xb256.py'),
    paper=dict(
        tiny='vit-tiny_1xb8_images-224px.py', s='vit-s_8xb256.py', b='vit-b_8xb256.py',
        l='vit-l_32xb64.py'))


def shipped_file(name: str) -> Path:
    """A file of the repository, by its path there.

    Raises:
        InputError: The installation has no such file.
    """
    for place in (PACKAGE.parent, PACKAGE / '.mim'):
        if (place / name).is_file():
            return place / name
    raise InputError(f'{name} is missing: it comes with the checkout and, in an installed package, '
                     f'lies below {PACKAGE / ".mim"}; install conmim_mm again')


def recipe_file(arch: str, student: str) -> Path:
    """The pre-training config of a size of ViT and a form of the student, keys of ``RECIPES``."""
    return shipped_file(f'configs/conmim/{RECIPES[student][arch]}')
