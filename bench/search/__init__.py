"""The search space: from Hydra's override grammar to the points a study tries."""
