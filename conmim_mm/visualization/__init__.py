from .curves import draw_learning_curve, read_scalars

__all__ = ['draw_learning_curve', 'read_scalars']
