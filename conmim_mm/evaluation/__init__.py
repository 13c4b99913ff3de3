from .accuracy import Accuracy, evaluate_features
from .features import extract_features, image_features
from .knn import knn_predict
from .linear_probe import linear_probe_predict
from .metrics.frozen_features import FrozenFeatureMetric
from .tokens import TokenSpread, effective_rank, mean_similarity, token_spread

__all__ = [
    'Accuracy', 'FrozenFeatureMetric', 'TokenSpread', 'effective_rank', 'evaluate_features',
    'extract_features', 'image_features', 'knn_predict', 'linear_probe_predict', 'mean_similarity',
    'token_spread'
]
