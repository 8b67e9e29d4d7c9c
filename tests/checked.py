"""Checks configs in tests, and applies what findings tell to write."""

from pathlib import Path

from mmengine.config import Config

from mmsniper.checks import check_config


def check(cfg, **options):
    """Findings of a config, without a batch through the network, as one process trains it."""
    return check_config(cfg, **dict(dict(batch=False, world_size=1), **options))


def said(findings, about, level=None):
    """Findings of a check, all of a level."""
    return [finding for finding in findings if finding.about == about and level in (None, finding.level)]


def only(findings, about, level):
    """The one finding of a check and level."""
    (finding,) = said(findings, about, level)
    return finding


def written(cfg, lines, folder: Path):
    """A config that inherits from another and has some lines more, as a user writes them."""
    folder.mkdir(exist_ok=True)
    cfg.dump(folder / 'base.py')
    (folder / 'mine.py').write_text(f"_base_ = 'base.py'\n{lines}\n")
    return Config.fromfile(folder / 'mine.py')
