import pytest
from walk import LIMIT, walk

pytest.importorskip('supervision')


@pytest.mark.slow
def test_the_page_leads_from_a_folder_to_a_model_in_fifteen_minutes(tmp_path):
    figures = walk(tmp_path, 80)
    data = tmp_path / 'my-data'
    assert len(list((data / 'detections').glob('*.png'))) == 6
    assert (data / 'report.html').stat().st_size > 10_000
    assert figures['tta_ap'] > 0.2
    assert figures['cpu_seconds'] < LIMIT
