"""Looks for hard background: regions where a briefly trained RPN finds objects that are not there."""

from .negative_chip_miner import NegativeChipMiner

__all__ = ['NegativeChipMiner']
