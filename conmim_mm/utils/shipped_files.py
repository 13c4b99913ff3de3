"""Where the recipes and scripts lie: in the checkout, or in the installed package."""

from pathlib import Path

from ..errors import InputError

PACKAGE = Path(__file__).parents[1]
RECIPES = dict(
    tiny='vit-tiny_1xb8_images-224px.py', s='vit-s_8xb256.py', b='vit-b_8xb256.py',
    l='vit-l_32xb64.py')


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


def recipe_file(arch: str) -> Path:
    """The pre-training config of a size of ViT, a key of ``RECIPES``."""
    return shipped_file(f'configs/conmim/{RECIPES[arch]}')
