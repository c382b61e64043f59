"""Configs that come with the package are found by name, from a wheel as from a checkout; a file of that path wins."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from robonav_ray.config import shipped
from robonav_ray.config.load import ConfigError, load_cluster_definition, load_run_config, load_tuning_config
from robonav_ray.config.shipped import find_shipped, shipped_configs
from robonav_ray.launch.submit import Submission

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["quick", "run/quick", "quick.yaml", "run/quick.yaml", "configs/run/quick.yaml"])
def test_a_run_is_found_by_name(name: str) -> None:
    assert load_run_config(Path(name)) == load_run_config(REPOSITORY / "configs/run/quick.yaml")


def test_searches_and_the_cluster_are_found_by_name() -> None:
    assert load_tuning_config(Path("asha")) == load_tuning_config(REPOSITORY / "configs/tuning/asha.yaml")
    wanted = load_cluster_definition(REPOSITORY / "cluster/cluster.yaml")
    assert load_cluster_definition(Path("cluster/cluster.yaml")) == load_cluster_definition(Path("cluster")) == wanted


def test_every_config_has_a_name_of_its_own_and_a_question() -> None:
    for kind, folders in shipped.FOLDERS.items():
        configs = shipped_configs(kind)
        files = {path for folder in folders for path in (REPOSITORY / folder).glob("*.yaml")}
        beside = [other for other, shared in shipped.FOLDERS.items() if other != kind and set(shared) & set(folders)]
        assert {config.path for config in configs} == files - {
            c.path for other in beside for c in shipped_configs(other)
        }
        assert all(find_shipped(Path(config.name), kind) == config.path and config.question for config in configs)


def test_a_file_wins_over_a_name_and_a_folder_does_not(tmp_path: Path) -> None:
    (tmp_path / "quick").write_text("seed: 77\n")
    assert load_run_config(Path("quick")).seed == 77
    (tmp_path / "cartpole").mkdir()
    assert load_run_config(Path("cartpole")).name == "cartpole"
    (tmp_path / "asha").symlink_to(tmp_path / "gone")
    with pytest.raises(ConfigError, match="asha: no such file"):
        load_tuning_config(Path("asha"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("quik", "did you mean quick?"),
        ("configs/run/ten_minute.yaml", "did you mean ten_minutes?"),
        ("zzz", "bitflip, .*quick.*an override is written section.key=value"),
        ("../run/quick", "no such file"),
        ("/quick", "no such file"),
        ("asha", "no such file"),  # a search, and no run
    ],
)
def test_a_wrong_name_lists_the_nearest(name: str, told: str) -> None:
    with pytest.raises(ConfigError, match=f"no such file, and no shipped config of that name.*{told}|{told}"):
        load_run_config(Path(name))


def test_a_run_directory_names_no_shipped_config() -> None:
    with pytest.raises(ConfigError, match="quick: no such file"):
        load_run_config(Path("quick"), follow=False)


def test_a_job_is_given_the_name() -> None:
    submission = Submission("train", Path("quick"), ["seed=3"])
    assert submission.config_travels is None
    assert submission.entrypoint() == "robonav train quick seed=3"


def test_a_wheel_holds_the_configs_and_not_the_proofs(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for folder in ("robonav_ray", "proofs"):
        (source / folder).mkdir(parents=True)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "robonav_ray/__init__.py", "proofs/__init__.py"):
        shutil.copyfile(REPOSITORY / name, source / name)
    for name in ("configs", "cluster"):
        shutil.copytree(REPOSITORY / name, source / name)
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        held = {n.removeprefix("robonav_ray/shipped/"): archive.read(n) for n in names if "/shipped/" in n}
    configs = REPOSITORY / "configs"
    wanted = [*configs.rglob("*.yaml"), *configs.glob("maps/*.png"), REPOSITORY / "cluster/cluster.yaml"]
    assert held == {path.relative_to(REPOSITORY).as_posix(): path.read_bytes() for path in wanted}
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"robonav_ray"}
