"""The study: the paper's experiments as arms of ``study/params.yaml``, each run by the loop's own stages."""
