"""The cluster that these tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from slurm_cluster import Cluster, processes_with, wait_until


@pytest.fixture(scope="session")
def cluster(shared_data: Path) -> Iterator[Cluster]:
    script = shared_data.parent / "slurm" / "slurm_local.sh"
    if not script.is_file():
        pytest.fail(f"there is no {script}, which starts a Slurm on one machine")
    with TemporaryDirectory(prefix="slurm-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # munged refuses a folder that others cannot enter, such as pytest's own
        made = Cluster(folder, script)
        made.start()
        yield made
        made.stop()
        wait_until(lambda: not processes_with(name), "the cluster's processes to end", 20)
