"""What this machine can tell about the cluster: its limits, and whether a folder is shared between nodes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from budgetctl.slurm.script import DEFAULT_MAX_ARRAY

SHARED_FILE_SYSTEMS = frozenset(
    {
        "nfs", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "cifs", "smb3", "glusterfs", "fuse.glusterfs", "pvfs2",
        "orangefs", "wekafs", "panfs", "afs", "gfs2", "ocfs2", "9p", "virtiofs", "fuse.sshfs", "fuse.juicefs",
        "fuse.ceph", "fuse.quobyte", "fuse.mfs", "vast", "daos", "fuse.daos", "acfs", "fhgfs",
    }
)  # fmt: skip
"""File systems that several machines can mount at once, as `/proc/mounts` names them."""

_ASK_S = 5.0


def has_slurm() -> bool:
    """Whether `sbatch` can be found here."""
    return shutil.which("sbatch") is not None


def max_array_size() -> int:
    """Ask Slurm for MaxArraySize; its default where nobody answers."""
    if shutil.which("scontrol") is None:
        return DEFAULT_MAX_ARRAY
    try:
        answer = subprocess.run(
            ["scontrol", "show", "config"], capture_output=True, text=True, timeout=_ASK_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return DEFAULT_MAX_ARRAY
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", answer.stdout, re.MULTILINE)
    return int(found[1]) if found else DEFAULT_MAX_ARRAY


def file_system_of(path: Path, mounts: str | None = None) -> str:
    """Type of the file system that `path` lies on; empty where the system does not tell.

    Args:
        path: An existing or future path.
        mounts: Text of `/proc/mounts`; None reads it.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
    place = path.resolve()
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        mount = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[1]))
        if place.is_relative_to(mount) and len(mount.parts) >= best:
            best, kind = len(mount.parts), fields[2]
    return kind


def is_shared(path: Path) -> bool:
    """Whether other machines can be expected to see `path`."""
    return file_system_of(path) in SHARED_FILE_SYSTEMS
