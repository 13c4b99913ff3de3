"""``python -m conmim_mm``: the same as ``conmim``."""

from .commands import main

if __name__ == '__main__':
    main()
