"""`make bench`: the operator beside the raw-API floor, in one run, as ratios. Never asserted."""
