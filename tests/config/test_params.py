import re
from itertools import pairwise

import pytest
import yaml
from ruamel.yaml import YAML

from yolopipe.config.params import ALGORITHMS, STAGE_PARAMS, STAGES, Config
from yolopipe.config.params_file import load_config
from yolopipe.errors import ConfigError

DATA = "data:\n  train: t.txt\n  val: v.txt\n  classes: c.names\n  images: images\n"


def load(tmp_path, text, **options):
    (tmp_path / "params.yaml").write_text(text)
    return load_config(tmp_path / "params.yaml", **options)


def test_the_projects_own_file_is_read_whole(repo):
    config = load_config(repo / "params.yaml")
    written = YAML(typ="safe").load((repo / "params.yaml").read_text())
    for section, values in config.model_dump().items():
        if section == "seed":
            assert written["seed"] == values
        else:
            assert set(written[section]) == set(values), "every key is written out, so that -S finds it"


def test_every_key_of_params_yaml_has_a_comment_above(repo):
    lines = (repo / "params.yaml").read_text().splitlines()
    for above, line in pairwise(lines):
        section = ""
        if re.match(r"\S+:$", line):
            section = line
        if re.match(r" {2}\w+:", line) and not re.match(r" {2}\d*\w+: \d+$", line):
            assert above.strip().startswith(("#", "- ")), f"{section} {line!r} has no comment"


def test_yaml_1_1_and_1_2_readers_agree_on_our_file(repo):
    """DVC reads YAML 1.2, other tools 1.1: the file is written so that both see the same values."""
    text = (repo / "params.yaml").read_text()
    assert yaml.safe_load(text) == YAML(typ="safe").load(text)


@pytest.mark.parametrize("text", ["1e-5", "1e-05", "0.00001", "1.0e-5", "5E-5"])
def test_numbers_as_dvc_writes_them(tmp_path, text):
    config = load(tmp_path, f"{DATA}train:\n  lr_init: {text}\n  lr_end: 0\n")
    assert config.train.lr_init == float(text)


def test_minimal_file_gets_defaults(tmp_path):
    assert load(tmp_path, DATA) == Config(
        data={"train": "t.txt", "val": "v.txt", "classes": "c.names", "images": "images"}
    )


@pytest.mark.parametrize(
    ("text", "place", "named"),
    [
        ("train:\n  learning_rate: 1\n", "7:3", "`train.learning_rate`"),
        ("train:\n  lr_int: 1\n", "7:3", "`train.lr_init`"),  # the nearest right key
        ("trian:\n  epochs: 1\n", "6:1", "`train`"),
        ("precompute:\n  input_sizes: 416\n", "7:3", "`precompute.input_size`"),
        ("train:\n  epochs: eight\n", "7:11", "'eight'"),
        ("train:\n  lr_init: '1e-4'\n", "7:12", "'1e-4'"),
        ("train:\n  epochs: 0\n", "7:11", " 0"),
        ("train:\n  epochs: 2.5\n", "7:11", "2.5"),
        ("train:\n  epochs: true\n", "7:11", "True"),
        ("train:\n  epochs:\n", "7:3", "`train.epochs`"),
        ("augment:\n  flip: 1.5\n", "7:9", " 1.5"),
        ("precompute:\n  input_size: 100\n", "7:15", " 100"),
        ("precompute:\n  input_size:\n    - 320\n    - 100\n", "8:5", "[320, 100]"),
        ("precompute:\n  input_size: []\n", "7:15", "[]"),
        ("precompute:\n  input_size: '416'\n", "7:15", "'416'"),
        ("precompute:\n  input_size: [32, 32]\n", "7:15", "[32, 32]"),
        ("precompute:\n  input_size: [32, true]\n", "7:15", "[32, True]"),
        ("precompute:\n  format: arrow\n", "7:11", "'arrow'"),
        ("train:\n  lr_init: 1.0e-3\n  lr_end: 1\n", "6:1", "lr_end"),
        ("assignment:\n  anchors:\n    - 10\n", "8:5", "`assignment.anchors"),
        ("augment: 3\n", "6:10", "`augment`"),
    ],
)
def test_mistakes_are_named_with_line_and_column(tmp_path, text, place, named):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, DATA + text)
    mistakes = caught.value.message.splitlines()
    assert any(line.startswith(f"{tmp_path / 'params.yaml'}:{place}: ") and named in line for line in mistakes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "shown"),
    [(".inf", "inf"), ("-.inf", "-inf"), (".nan", "nan"), ("1.0e400", "inf"), ("1" + "0" * 400, "1")],
)
def test_every_number_is_finite_and_fits_64_bits(tmp_path, text, shown):
    keys = [
        (section, key)
        for section, field in Config.model_fields.items()
        for key, value in getattr(field.annotation, "model_fields", {}).items()
        if value.annotation in (int, float)
    ]
    assert {("train", "warmup_epochs"), ("train", "epochs"), ("sample", "seed")} <= set(keys)
    for section, key in keys:
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, f"{DATA}{section}:\n  {key}: {text}\n")
        mistake = str(caught.value).splitlines()[0]
        assert mistake.startswith(f"{tmp_path / 'params.yaml'}:7:{len(key) + 5}: `{section}.{key}`")
        assert shown in mistake.split("got ")[1] or "inf" in mistake


@pytest.mark.parametrize(
    ("text", "sizes"),
    [("416", (416,)), ("416.0", (416,)), ("[416]", (416,)), ("\n    - 608\n    - 320\n    - 416", (320, 416, 608))],
)
def test_input_size_is_one_or_several(tmp_path, text, sizes):
    params = load(tmp_path, f"{DATA}precompute:\n  input_size: {text}\n").precompute
    assert (params.input_sizes, params.input_size, params.smallest_size) == (sizes, sizes[-1], sizes[0])


def test_anchor_text(tmp_path):
    anchors = "".join(f"    - {w}x{w + 0.5}\n" for w in range(10, 19))
    config = load(tmp_path, f"{DATA}assignment:\n  anchors:\n{anchors}")
    assert config.assignment.anchors_px.shape == (3, 3, 2)
    assert config.assignment.anchors_px[2, 0].tolist() == [16, 16.5]
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"{DATA}assignment:\n  anchors:\n{anchors.replace('10x10.5', '10y10')}")
    assert re.match(rf"{tmp_path}/params.yaml:8:\d+: `assignment\.anchors`: .*'10y10'", str(caught.value))


def test_all_mistakes_at_once(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "train:\n  epochs: 0\n  batch: 1\naugment:\n  flip: 2\n")
    assert str(caught.value).endswith("4 mistakes in " + str(tmp_path / "params.yaml") + "; nothing was run")
    assert "`data` is missing" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"data: [1\n", 2), (b"", None), (b"- 1\n", None), (b"\xff\xfe", None), (b"a: 1\na: 2\n", 2)],
)
def test_files_that_are_not_params(tmp_path, content, line):
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "params.yaml")
    assert caught.value.message.startswith(f"{tmp_path / 'params.yaml'}:" + (f"{line}:" if line else ""))


def test_no_file(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "params.yaml")
    assert str(tmp_path / "params.yaml") in caught.value.message


def test_another_algorithm_number_is_refused_by_its_stage_only(tmp_path):
    text = f"{DATA}algorithm:\n  augment: 99\n"
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, stage="augment")
    assert re.search(rf":7:\d+: .*algorithm\.augment.*\b99\b.*\b{ALGORITHMS['augment']}\b", caught.value.message)
    assert f"algorithm.augment: {ALGORITHMS['augment']}" in str(caught.value.hint)
    assert load(tmp_path, text, stage="parse").algorithm.augment == 99


def test_names_are_the_same_everywhere():
    assert set(STAGE_PARAMS) == set(ALGORITHMS) == {"sample", *STAGES}
    for stage, names in STAGE_PARAMS.items():
        assert f"algorithm.{stage}" in names
        assert stage in names
