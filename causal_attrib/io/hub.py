"""Where the files of a model are: in a folder, or in one commit on the hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from causal_attrib.errors import InputError

# Seconds to wait for the hub's first answer. It is asked once: retries are for a hub that has answered before.
_PATIENCE = 10


@dataclass(frozen=True)
class Home:
    """A folder, or one commit of a hub model.

    source: path of the folder, or hub id
    commit: what all files are read from, so that they belong together; None for a folder
    cached: read only what was fetched before
    """

    source: str
    commit: str | None = None
    cached: bool = False

    @property
    def options(self) -> dict:
        """What `from_pretrained` wants to know beside `source`."""
        return {"revision": self.commit, "local_files_only": self.cached}

    def file(self, name: str) -> Path | None:
        """Local path of one file, fetched if need be; None if there is no such file."""
        if self.commit is None:
            path = Path(self.source) / name
            return path if path.is_file() else None
        try:
            return Path(hf_hub_download(self.source, name, **self.options))
        except LocalEntryNotFoundError as error:
            if self.cached:
                return None
            raise _unreachable(self.source, error) from error
        except EntryNotFoundError:
            return None
        except (HTTPError, OSError) as error:
            raise _refused(self.source, self.commit, error) from error

    def has(self, name: str) -> bool:
        """Whether there is such a file, which may be too large to fetch for nothing."""
        if self.commit is None or self.cached:
            return self.file(name) is not None
        return HfApi().file_exists(self.source, name, revision=self.commit)


def find(model: str, revision: str | None = None) -> Home:
    """Find a folder, or a model on the hub; without network, one that was fetched before.

    Raises:
        InputError: there is no such folder, model or revision, the hub cannot be reached, or it wants a login.
    """
    if Path(model).is_dir():
        if revision is not None:
            raise InputError(f"{model} is a folder and has no revisions; leave --revision out.")
        return Home(model)
    if Path(model).exists():
        raise InputError(f"{model} is a file; give the folder it lies in.")
    if constants.HF_HUB_OFFLINE:
        home = _fetched_before(model, revision)
        if home is None:
            raise InputError(
                f"There is no folder {model}, and with HF_HUB_OFFLINE set only models that were fetched before can be "
                f"loaded; give a folder, or unset it."
            )
        return home
    try:
        commit = HfApi().model_info(model, revision=revision, timeout=_PATIENCE).sha
        HfApi().resolve_revision(model, revision=revision)  # writes into the cache which commit that is
        return Home(model, commit)
    except HFValidationError:
        raise InputError(
            f"There is no folder {model}; give a folder, or a hub id such as llava-hf/llava-1.5-7b-hf."
        ) from None
    except HfHubHTTPError as error:
        raise _refused(model, revision, error) from error
    except (HTTPError, OSError) as error:
        home = _fetched_before(model, revision)
        if home is None:
            raise _unreachable(model, error) from error
        return home


def _fetched_before(model: str, revision: str | None) -> Home | None:
    try:
        paths = [
            try_to_load_from_cache(model, name, revision=revision) for name in ("config.json", "adapter_config.json")
        ]
    except HFValidationError:
        return None
    return next((Home(model, Path(path).parent.name, cached=True) for path in paths if isinstance(path, str)), None)


def _refused(model: str, revision: str | None, error: Exception) -> InputError:
    """What the hub's answer means for the user. Among its errors gated is a kind of missing, so it comes first."""
    if isinstance(error, GatedRepoError):
        return InputError(
            f"{model} is gated; accept its terms on {constants.ENDPOINT}/{model} and run `hf auth login`."
        )
    if isinstance(error, RevisionNotFoundError):
        return InputError(
            f"{model} has no revision {revision} on the hub; give a branch, tag or commit that is listed there."
        )
    if isinstance(error, RepositoryNotFoundError):
        return InputError(
            f"There is no folder {model} and no such model on the hub; check the spelling, and for a private model "
            f"run `hf auth login`."
        )
    return InputError(f"The hub does not hand out {model} ({_first_line(error)}); try again later.")


def _unreachable(model: str, error: Exception) -> InputError:
    return InputError(
        f"There is no folder {model}, and the hub cannot be reached to fetch it ({_first_line(error)}); check the "
        f"network, or give a folder."
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
