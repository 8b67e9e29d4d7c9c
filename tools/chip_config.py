"""Finds the ChipDataset in a training config."""

from mmengine.config import Config, ConfigDict


def chip_dataset_cfg(cfg: Config) -> ConfigDict:
    """The ChipDataset of a config's training loader, whatever is wrapped around it; changing it changes the config.

    Raises:
        SystemExit: If there is none.
    """
    dataset = cfg.train_dataloader.dataset
    while dataset.get('type') != 'mmsniper.ChipDataset':
        if 'dataset' not in dataset:
            raise SystemExit(f'{cfg.filename}: train_dataloader.dataset holds no mmsniper.ChipDataset')
        dataset = dataset.dataset
    return dataset
