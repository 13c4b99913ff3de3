from .page import build_report

__all__ = ['build_report']
