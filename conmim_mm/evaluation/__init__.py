from .accuracy import Accuracy, evaluate_features
from .balanced_subset import balanced_indices
from .features import extract_features
from .knn import knn_predict
from .labelled_folder import labelled_datasets
from .linear_probe import linear_probe_predict
from .token_spread import TokenSpread, token_spread
from .tokens import effective_rank, mean_similarity

__all__ = [
    'Accuracy', 'TokenSpread', 'balanced_indices', 'effective_rank', 'evaluate_features',
    'extract_features', 'knn_predict', 'labelled_datasets', 'linear_probe_predict',
    'mean_similarity', 'token_spread'
]
