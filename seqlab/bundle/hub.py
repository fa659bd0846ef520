"""A bundle to the Hugging Face Hub, by its own client."""

from __future__ import annotations

from pathlib import Path

from seqlab.bundle.manifest import MANIFEST, read_manifest
from seqlab.bundle.place import is_hub_name, reason_of
from seqlab.errors import ConfigError, RunError


def push(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    message: str | None = None,
    token: str | bool | None = None,
) -> str:
    """Upload the files of a bundle, and no others, as one commit; the repository is made if new.

    Args:
        folder: the bundle; every file must be as the manifest says.
        repo_id: ``owner/name``.
        private: whether a new repository is to be private; the owner's default.
        revision: the branch; the main one by default.
        message: of the commit.
        token: with the right to write; the one that was logged in with by default.

    Returns:
        The address of the commit.

    Raises:
        BundleError: the folder is no bundle, or it was changed.
        ConfigError: the name is no ``owner/name``.
        RunError: the Hub refuses, or cannot be reached.
    """
    if not is_hub_name(repo_id):
        raise ConfigError(f"'{repo_id}' is no name on the Hub: expected owner/name")
    files = [*read_manifest(Path(folder))["files"], MANIFEST]
    from huggingface_hub import HfApi
    from huggingface_hub.errors import OfflineModeIsEnabled

    api = HfApi(token=token, library_name="seqlab")
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        done = api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            revision=revision,
            allow_patterns=files,
            commit_message=message or "A bundle of seqlab",
        )
    except OfflineModeIsEnabled as error:
        raise RunError(
            f"{repo_id}: nothing is sent while HF_HUB_OFFLINE is set; unset it"
        ) from error
    except Exception as error:  # the Hub's client raises many types, with long texts
        raise RunError(
            f"{repo_id}: the Hugging Face Hub did not take the bundle ({reason_of(error)}); "
            "log in with: hf auth login"
        ) from error
    return str(done.commit_url)
