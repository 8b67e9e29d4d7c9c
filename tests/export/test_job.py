"""The same bytes in any number of processes, stopped or not; what stops it is said."""

import json
import multiprocessing
import time
from collections import Counter
from pathlib import Path

import pytest
from mmcv.transforms import LoadImageFromFile

from mmsniper.export import ExportSettings, job
from mmsniper.export.output import Output


def files(folder):
    """All that an export wrote, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


@pytest.mark.parametrize('image_format', ['jpg', 'png'])
def test_any_number_of_processes_writes_the_same_bytes(export, monkeypatch, image_format):
    monkeypatch.setattr(job, 'SHARD', 4)
    one, _, _ = export('one', 1, image_format=image_format)
    three, _, _ = export('three', 3, image_format=image_format)
    assert files(one) == files(three)
    assert len(files(one)) > 15


def test_every_image_is_read_once(export, monkeypatch):
    read, transform = Counter(), LoadImageFromFile.transform
    monkeypatch.setattr(
        LoadImageFromFile,
        'transform',
        lambda self, results: read.update([results['img_id']]) or transform(self, results),
    )
    export(epochs=2)
    assert read == {1: 1, 2: 1, 3: 1, 4: 1}


def test_a_killed_export_goes_on(export, monkeypatch, tmp_path):
    """Killed by the system, at several moments, with half an image left behind."""
    monkeypatch.setattr(job, 'SHARD', 3)
    whole, _, _ = export('whole')
    write = Output.write_image

    def slowly(self, name, content):
        (self.images / name).write_bytes(content[: len(content) // 2])
        time.sleep(0.05)
        write(self, name, content)

    folder = tmp_path / 'killed'
    for n_parts in (1, 3):
        with monkeypatch.context() as slow:
            slow.setattr(Output, 'write_image', slowly)
            process = multiprocessing.get_context('fork').Process(target=export, args=('killed',))
            process.start()
            while len(list(folder.glob('parts/*.json'))) < n_parts:
                time.sleep(0.01)
            process.kill()
            process.join()
    assert not (folder / 'annotations.json').exists()
    lost = json.loads((folder / 'parts/000000.json').read_text())['images'][0]
    (folder / 'images' / lost['file_name']).write_bytes(b'half')  # as a machine that lost its power leaves it
    written = []
    noting = lambda self, name, content: written.append(name) or write(self, name, content)  # noqa: E731
    monkeypatch.setattr(Output, 'write_image', noting)
    _, summary, _ = export('killed')
    assert files(folder) == files(whole)
    assert 0 < summary['before'] < summary['counts']['chips']
    assert lost['file_name'] in written
    assert len(written) == summary['counts']['chips'] - summary['before']
    written.clear()
    again = export('killed')[1]
    assert again['before'] == again['counts']['chips']
    assert not written
    (folder / 'images' / lost['file_name']).unlink()
    export('killed')
    assert files(folder) == files(whole), 'what somebody removed is written again'


def test_other_settings_want_another_folder(export, write_coco, images, tmp_path):
    export()
    with pytest.raises(ValueError, match=r"out holds an export with quality 95, invalid 'keep': remove it, or export"):
        export(quality=90, invalid='drop')
    images[0][2][1]['bbox'][0] += 1
    with pytest.raises(ValueError, match='holds an export with other data, chips or transforms'):
        export(data=write_coco(images, 'changed'))
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/file').write_text('')
    with pytest.raises(ValueError, match='mine holds other files: export to a new folder'):
        export('mine')


@pytest.mark.parametrize(
    'wrong', [dict(image_format='gif'), dict(invalid='hide'), dict(quality=0), dict(epoch=-1), dict(epochs=0)], ids=str
)
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError, match=rf'{next(iter(wrong)).removesuffix("s")}.*{next(iter(wrong.values()))}'):
        ExportSettings(**wrong)


def test_images_that_cannot_be_read_stop_it_or_are_left_out_by_name(export):
    (Path(export.data['data_root']) / 'images/1.png').write_bytes(b'')
    with pytest.raises(ValueError, match=r"1\.png: cannot be read.*on_bad_image='skip' in the ChipDataset leaves"):
        export()
    folder, summary, _ = export('skips', chips=dict(on_bad_image='skip'))
    assert len(summary['unreadable']) == 1
    assert '1.png' in summary['unreadable'][0]
    assert summary['counts']['images'] == 3
    content = json.loads((folder / 'annotations.json').read_text())
    assert {image['source'] for image in content['images']} == {'0.png', '2.png', '3.png'}
    assert content['info']['left_out'] == summary['unreadable']
