"""Names that the language keeps for itself."""

from derive.functions import FUNCTIONS

ARRAY_FUNCTIONS = (
    "softmax log_softmax logsumexp sum mean dot norm2 outer concat diag transpose zeros ones eye cross_entropy layer_norm "
    "onehot stop_gradient pad each where within slope reshape kron project"
).split()
WORDS = "t T steps scalar input const total index function surrogate minimize maximize lambda".split()
RESERVED = frozenset([*FUNCTIONS, *ARRAY_FUNCTIONS, *WORDS])
