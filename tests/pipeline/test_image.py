"""What the Dockerfile makes."""

from __future__ import annotations

import json

import pytest

from tests.pipeline.conftest import SECRET
from tests.pipeline.containers import Containers

pytestmark = pytest.mark.pipeline


def test_image_runs_as_an_ordinary_user(containers: Containers, image: str) -> None:
    ran = containers.run(image, ["sh", "-c", "id -u; pytest --version; nbci --version"])
    assert ran.code == 0, ran.err
    assert ran.out.startswith("10001\n")


@pytest.mark.parametrize("user", ["0:0", "1000:1000", "54321:54321"])
def test_any_user_has_a_name_and_a_home(containers: Containers, image: str, user: str) -> None:
    program = (
        "import getpass, os, pathlib, tempfile;"
        "from jupyter_core.paths import jupyter_runtime_dir;"
        "from IPython.paths import get_ipython_dir;"
        "import matplotlib;"
        "places = [pathlib.Path.home(), jupyter_runtime_dir(), get_ipython_dir(),"
        " matplotlib.get_configdir(), matplotlib.get_cachedir()];"
        "[os.makedirs(place, exist_ok=True) for place in places];"
        "[tempfile.TemporaryFile(dir=place).close() for place in places];"
        "print(getpass.getuser())"
    )
    ran = containers.run(image, ["python", "-W", "error", "-c", program], user=user)
    assert (ran.code, ran.out, ran.err) == (0, "nbci\n", "")


def test_no_user_but_root_can_change_the_installation(containers: Containers, image: str) -> None:
    ran = containers.run(image, ["find", "/opt/nbci", "-writable", "!", "-type", "l"])
    assert ran.out == ""


def test_package_index_and_token_stay_out(containers: Containers, image: str) -> None:
    settings = containers.buildah("inspect", "--type", "image", image)
    assert SECRET not in settings
    assert "packages.example.com" not in settings
    environment = json.loads(settings)["Docker"]["config"]["Env"]
    assert sorted(line.split("=")[0] for line in environment) == ["HOME", "LANG", "PATH", "USER"]
    ran = containers.run(
        image,
        ["grep", "-rlF", SECRET, "/etc", "/kaniko", "/opt", "/root", "/tmp", "/var"],
        user="0:0",
    )
    assert ran.out == ""


def test_no_compiler_cache_or_leftover(containers: Containers, image: str) -> None:
    script = (
        "command -v gcc cc make; find /root/.cache /tmp /var/tmp /kaniko /wheels -type f -size +0;"
        "find / -xdev -name '*.whl' -not -path '/usr/share/python-wheels/*'"
    )
    ran = containers.run(image, ["sh", "-c", script], user="0:0")
    assert ran.out == ""
