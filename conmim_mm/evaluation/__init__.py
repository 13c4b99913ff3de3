from .accuracy import Accuracy, evaluate_features
from .features import extract_features
from .knn import knn_predict
from .linear_probe import linear_probe_predict
from .token_spread import TokenSpread, token_spread

__all__ = [
    'Accuracy', 'TokenSpread', 'evaluate_features', 'extract_features', 'knn_predict',
    'linear_probe_predict', 'token_spread'
]
