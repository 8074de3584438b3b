"""What this process may take of its machine, under the control groups of batch systems and containers."""

from __future__ import annotations

from pathlib import Path

from budgetctl.engines.host import free_memory_mib

MIB = 2**20


def machine(folder: Path, cgroup: str, available_mib: int = 9000) -> tuple[Path, Path]:
    """A machine's /proc and its mounted control groups."""
    proc, groups = folder / "proc", folder / "groups"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable:  {available_mib * 1024} kB\n")
    (proc / "self/cgroup").write_text(cgroup)
    groups.mkdir()
    return proc, groups


def write(group: Path, **values: object) -> None:
    group.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (group / name.replace("__", ".")).write_text(f"{value}\n")


def test_without_limits_it_is_what_the_machine_has(tmp_path: Path) -> None:
    proc, groups = machine(tmp_path, "0::/\n")
    assert free_memory_mib(proc, groups) == 9000


def test_a_limit_anywhere_above_counts_and_its_file_cache_is_free(tmp_path: Path) -> None:
    proc, groups = machine(tmp_path, "0::/slurm/job_7/step_0/task_0\n")
    job = groups / "slurm/job_7"
    write(job, memory__max=4000 * MIB, memory__current=1500 * MIB,
          memory__stat=f"anon 5\ninactive_file {500 * MIB}\nactive_file 3")  # fmt: skip
    write(job / "step_0", memory__max="max", memory__current=1500 * MIB, memory__stat="")
    assert free_memory_mib(proc, groups) == 3000


def test_version_one_of_control_groups(tmp_path: Path) -> None:
    proc, groups = machine(tmp_path, "9:name=systemd:/a\n4:cpu,memory:/job\n0::/\n")
    write(groups / "memory/job", memory__limit_in_bytes=2000 * MIB, memory__usage_in_bytes=1000 * MIB,
          memory__stat="total_inactive_file 0")  # fmt: skip
    write(groups / "memory", memory__limit_in_bytes=2**63 - 4096, memory__usage_in_bytes=0, memory__stat="")
    assert free_memory_mib(proc, groups) == 1000


def test_where_the_kernel_does_not_tell(tmp_path: Path) -> None:
    assert free_memory_mib(tmp_path, tmp_path) is None


def test_this_machine_has_some() -> None:
    free = free_memory_mib()
    assert free is None or free > 100
