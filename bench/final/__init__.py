"""The end of a fine-tuning study: the chosen setting, trained on all data and judged once on the test data."""

from bench.final.command import finetune_final

__all__ = ["finetune_final"]
