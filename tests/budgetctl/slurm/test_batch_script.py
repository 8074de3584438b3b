"""The rendered scripts: golden text, acceptance by bash, and no way in for a hostile value."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from budgetctl.errors import UsageError
from budgetctl.slurm.kubernetes import KubernetesSettings, render_kubernetes
from budgetctl.slurm.script import Job, render_bash, render_slurm
from budgetctl.slurm.settings import SlurmSettings, parse_array, seconds_of_limit
from budgetctl.slurm.setup import ENVIRONMENT_COMMANDS, shell_line

GOLDEN = Path(__file__).parent / "golden"

EVERYTHING = SlurmSettings(
    partition="gpu,long",
    account="lab-7",
    qos="normal",
    time="1-12:00:00",
    gpus="a100:1",
    cpus=8,
    mem="64G",
    constraint="(a100|h100)&nvme",
    options={"nice": "100", "exclusive": "", "mail-type": "END,FAIL", "licenses": "matlab:2"},
    workers=64,
    at_once=16,
    warn_s=180,
    max_timeouts=7,
    setup=("module load cuda/12.4", "source ~/venvs/'my env'/bin/activate", 'export DATA="$SCRATCH/my data"'),
    python="python3.11",
    environment={"HF_HOME": "/scratch/hub", "NOTE": 'it\'s $(whoami) `id` "x"'},
)


def job(**changes: object) -> Job:
    values: dict[str, object] = {
        "plan": "3f" * 32,
        "name": "sweep-1",
        "store": Path("/shared/my store"),
        "logs": Path("/shared/my store/logs/3f3f3f3f3f3f"),
        "python": "/opt/venv/bin/python",
        "workers": 64,
        "options": ("--device", "cuda"),
        "summary": "12 cells, 40 distinct stages",
        "revision": "0123abc+changes",
        "made_with": "budgetctl 0.1.0, Python 3.11.2 on login1",
    }
    return Job(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("everything.sh", render_slurm(EVERYTHING, job())),
        ("least.sh", render_slurm(SlurmSettings(), job(workers=1, options=(), revision=""))),
        ("bash.sh", render_bash(SlurmSettings(setup=("module load cuda",)), job(workers=2))),
    ],
)
def test_the_script_is_the_golden_one(name: str, text: str) -> None:
    if "BUDGETCTL_WRITE_GOLDEN" in os.environ:
        (GOLDEN / name).write_text(text)
    assert text == (GOLDEN / name).read_text()
    assert text.startswith("#!/bin/bash\n#")
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0


def test_the_job_of_kubernetes_is_the_golden_one() -> None:
    pods = KubernetesSettings(image="registry.example/lab/budgetctl:0.1", claim="my-claim", mount=Path("/shared"),
                              nodes={"nvidia.com/gpu.product": "A100"})  # fmt: skip
    text = render_kubernetes(pods, EVERYTHING, job(name='a: "b"\n- c'))
    if "BUDGETCTL_WRITE_GOLDEN" in os.environ:
        (GOLDEN / "job.yaml").write_text(text)
    assert text == (GOLDEN / "job.yaml").read_text()
    document = yaml.safe_load(text)
    assert document["metadata"]["annotations"]["budgetctl/study"] == 'a: "b"\n- c', (
        "a hostile name stays a value"
    )
    (container,) = document["spec"]["template"]["spec"]["containers"]
    assert container["command"][:4] == ["python3.11", "-m", "budgetctl", "worker"]
    assert {"name": "NOTE", "value": 'it\'s $$(whoami) `id` "x"'} in container["env"]


@pytest.mark.parametrize(
    ("pods", "sentence"),
    [
        ({"claim": "c"}, "kubernetes.image"),
        ({"image": "i"}, "kubernetes.claim"),
        ({"image": "i", "claim": "c", "mount": Path("/elsewhere")}, "does not lie in"),
    ],
)
def test_a_job_of_kubernetes_that_cannot_work_is_refused(pods: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        render_kubernetes(KubernetesSettings(**pods), SlurmSettings(), job())


@pytest.mark.parametrize(
    "given",
    [
        {"image": "a b"},
        {"image": "a\nb"},
        {"claim": "A_b"},
        {"gpu": "a b"},
        {"nodes": {"a": "b: c"}},
        {"gpus": "1"},
    ],
)
def test_a_value_that_does_not_fit_a_pod_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        KubernetesSettings.model_validate(given)


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("partition", "gpu --wrap=id", "must be a name"),
        ("partition", "gpu\n#SBATCH --wrap=id", "must be a name"),
        ("account", "$(id)", "must be a name"),
        ("account", "-x", "must be a name"),
        ("qos", "a b", "must be a name"),
        ("time", "1:00:00; id", "must be a time limit"),
        ("time", 5400, "in quotes"),
        ("gpus", "a100:1 x", "must be a number of GPUs"),
        ("gpus", "0", "must be a number of GPUs"),
        ("mem", "64GG", "must be a size"),
        ("constraint", 'a"b', "must be features"),
        ("constraint", "a100`id`", "must be features"),
        ("options", {"wrap": "id"}, "cannot be set here"),
        ("options", {"array": "0-1"}, "cannot be set here"),
        ("options", {"comment": "$(id)"}, "may hold letters"),
        ("options", {"comment": "a\nb"}, "may hold letters"),
        ("environment", {"A B": "1"}, "not the name of an environment variable"),
        ("environment", {"A": "1\nid"}, "must be one line"),
        ("python", "python; id", "interpreter"),
        ("setup", ["rm -rf /"], "must begin with one of"),
        ("setup", ["export A"], "NAME=VALUE"),
        ("setup", ["source a\nid"], "line break"),
        ("setup", ["source 'a"], "cannot be read"),
        ("workers", 0, "greater than 0"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(setting: str, value: object, sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        SlurmSettings.model_validate({setting: value})


def test_a_store_that_cannot_be_named_in_a_directive_is_refused() -> None:
    for path in ("/a\n#SBATCH --wrap=id", "/a%j", '/a"b', "/a\\b"):
        with pytest.raises(UsageError, match="cannot be named in a batch script"):
            render_slurm(SlurmSettings(), job(logs=Path(path)))


HOSTILE = st.text(st.sampled_from("ab $(){}`'\"\\;&|<>*?~!#=\n\t/-%"), max_size=25)


@settings(max_examples=150, deadline=None)
@given(value=HOSTILE, summary=HOSTILE, word=HOSTILE)
def test_hostile_text_stays_text(
    tmp_path_factory: pytest.TempPathFactory, value: str, summary: str, word: str
) -> None:
    """Environment values, paths, comments and setup words arrive as they were written, and nothing else happens."""
    try:
        described = SlurmSettings(environment={"V": value}, setup=(f"export W={word}",), python="/bin/true")
    except ValidationError:
        return
    place = tmp_path_factory.mktemp("hostile")
    script = render_bash(described, job(summary=summary, logs=place / "logs", workers=1))
    check = place / "check.sh"
    check.write_text(script.replace('exit "$worst"', 'printf %s "$V" > v; ls -A > listing'))
    done = subprocess.run(["bash", check.name], cwd=place, capture_output=True, check=False, timeout=20)
    assert done.returncode == 0, done.stderr
    assert (place / "v").read_text() == value
    assert sorted((place / "listing").read_text().split()) == ["check.sh", "listing", "logs", "v"]


@given(word=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=20))
@settings(max_examples=200, deadline=None)
def test_a_setup_line_is_one_command_with_literal_words(word: str) -> None:
    try:
        line = shell_line(f"source {word}")
    except ValueError:
        return
    listing = subprocess.run(
        ["bash", "-c", f"source() {{ printf '%s\\0' \"$@\"; }}; HOME=/h; {line}"],
        capture_output=True,
        check=True,
    ).stdout
    assert listing.count(b"\0") <= len(word.split()) + 1
    assert b"uid=" not in listing


def test_variables_and_the_home_folder_expand_in_setup_lines() -> None:
    line = shell_line('export PATH=~/x:$PATH:"${B} c"')
    assert line == 'export "PATH=${HOME}/x:$PATH:${B} c"'
    assert shell_line("source ~/env/bin/activate") == 'source "${HOME}/env/bin/activate"'
    assert shell_line("source '$(id)'") == "source '$(id)'"
    assert shell_line("module load a; id") == "module load 'a;' id"
    assert shell_line('source "$A$(id)"') == 'source "$A\\$(id)"'


def test_every_environment_command_is_accepted() -> None:
    for command in ENVIRONMENT_COMMANDS:
        assert shell_line(f"{command} a=b") == f"{command} a=b"


def test_array_option() -> None:
    assert parse_array("64%16") == {"workers": 64, "at_once": 16}
    assert parse_array("8") == {"workers": 8}
    for wrong in ("0", "8%0", "0-7", "8%", "8%x", "x\n"):
        with pytest.raises(ValueError, match="--array takes a number"):
            parse_array(wrong)


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("90", 5400),
        ("1:30", 90),
        ("1:30:00", 5400),
        ("2-3", 183_600),
        ("2-3:30", 185_400),
        ("1-0:0:7", 86_407),
    ],
)
def test_time_limits_are_read_as_slurm_reads_them(time: str, seconds: int) -> None:
    assert seconds_of_limit(time) == seconds


@pytest.mark.parametrize(("time", "warned"), [(None, 120), ("1-00:00:00", 120), ("5", 75), ("1", 15)])
def test_the_warning_leaves_a_short_job_time_to_work(time: str | None, warned: int) -> None:
    script = render_slurm(SlurmSettings(time=time), job())
    assert f"#SBATCH --signal=B:USR2@{warned}\n" in script
    assert f"warn_s={warned}\n" in script
