"""Models from the Hugging Face hub: freeze a revision to a commit, fetch exactly that."""

from __future__ import annotations

from pathlib import Path

from budgetctl.errors import BudgetctlError

WANTED = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model", "*.jinja")
UNWANTED = ("original/*", "onnx/*", "*.gguf", "*.onnx*")


def commit_of(repository: str, revision: str = "main", offline: bool = False) -> str:
    """Return the commit that a branch or tag of a hub model points to now.

    Offline, the answer comes from the local hub cache, if the model was ever fetched on this machine.

    Raises:
        BudgetctlError: The hub cannot be asked, does not know the model, or does not let us see it.
    """
    from huggingface_hub import HfApi  # noqa: PLC0415
    from huggingface_hub.constants import HF_HUB_CACHE  # noqa: PLC0415

    cached = Path(HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "refs" / revision
    if offline:
        if cached.is_file():
            return cached.read_text(encoding="utf-8").strip()
        raise BudgetctlError(
            f"{repository} is not in this machine's hub cache, and --offline forbids asking the hub. Fetch it once "
            "online, or give a local folder."
        )
    try:
        commit = HfApi().model_info(repository, revision=revision).sha
    except (
        Exception
    ) as error:  # the hub client passes on its transport's errors, which change with its version
        raise explained(error, repository) from error
    if commit is None:
        raise BudgetctlError(f"The hub names no commit for {repository} at {revision}.")
    return str(commit)


def fetch(repository: str, commit: str, offline: bool) -> Path:
    """Return a local folder with the model's files at that commit.

    Raises:
        BudgetctlError: It cannot be fetched.
    """
    from huggingface_hub import snapshot_download  # noqa: PLC0415

    try:
        folder = snapshot_download(
            repository, revision=commit, local_files_only=offline,
            allow_patterns=list(WANTED), ignore_patterns=list(UNWANTED),
        )  # fmt: skip
    except (
        Exception
    ) as error:  # the hub client passes on its transport's errors, which change with its version
        raise explained(error, repository) from error
    return Path(folder)


def explained(error: Exception, repository: str) -> BudgetctlError:
    """Turn a hub error into one that says what to do."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError  # noqa: PLC0415

    page = f"https://huggingface.co/{repository}"
    if isinstance(error, GatedRepoError):
        return BudgetctlError(
            f"{repository} is gated: accept its licence at {page}, then log in with `hf auth login` (or set HF_TOKEN) "
            "and run this again."
        )
    if isinstance(error, RepositoryNotFoundError):
        return BudgetctlError(
            f"The hub knows no model {repository}, or it is private: check the name at {page}, or log in with "
            "`hf auth login`."
        )
    return BudgetctlError(
        f"{repository} could not be fetched from the hub ({type(error).__name__}: {error}). Check the network, or give "
        "a local folder with the model."
    )
