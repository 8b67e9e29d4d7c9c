"""An epoch's chips as an ordinary COCO data set, for those who train with something else."""

from .job import ChipExport, ExportSettings, export_chips
from .pipeline import cut_only, left_out_transforms

__all__ = ['ChipExport', 'ExportSettings', 'cut_only', 'export_chips', 'left_out_transforms']
