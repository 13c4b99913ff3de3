from ..datasets.labelled_folder import balanced_indices, labelled_datasets
from .accuracy import Accuracy, evaluate_features
from .features import extract_features
from .knn import knn_predict
from .linear_probe import linear_probe_predict
from .tokens import TokenSpread, effective_rank, mean_similarity, token_spread

__all__ = [
    'Accuracy', 'TokenSpread', 'balanced_indices', 'effective_rank', 'evaluate_features',
    'extract_features', 'knn_predict', 'labelled_datasets', 'linear_probe_predict',
    'mean_similarity', 'token_spread'
]
