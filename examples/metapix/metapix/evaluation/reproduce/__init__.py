"""`metapix reproduce`: the paper's Table 1, its figures and its ablations as plans of cells, run, compared and reported."""
