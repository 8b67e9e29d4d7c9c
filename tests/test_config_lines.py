"""Values as lines of a config."""

from mmsniper.config_lines import Name, one_line, text


def test_values_are_written_as_configs_have_them():
    assert text(dict(a=(1,), b=[dict(c=None)])) == 'dict(a=(1,), b=[dict(c=None)])'
    assert text({'a-b': 1}) == "{'a-b': 1}"
    long = dict(scales=['x' * 40] * 3)
    assert eval(text(long)) == long
    assert text(long).startswith('dict(\n    scales=[\n')


def test_names_are_written_without_quotes():
    assert one_line(dict(pipeline=Name('test_pipeline'))) == 'dict(pipeline=test_pipeline)'
