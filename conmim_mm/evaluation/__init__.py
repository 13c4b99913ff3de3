from .accuracy import Accuracy, evaluate_features
from .features import extract_features, image_features
from .knn import knn_predict
from .linear_probe import linear_probe_predict
from .metrics.dense_features import DenseFeatureMetric
from .metrics.frozen_features import FrozenFeatureMetric
from .tokens import effective_rank, mean_similarity

__all__ = [
    'Accuracy', 'DenseFeatureMetric', 'FrozenFeatureMetric', 'effective_rank', 'evaluate_features',
    'extract_features', 'image_features', 'knn_predict', 'linear_probe_predict', 'mean_similarity'
]
