"""Files at addresses (https://, s3://, gs:// and what else fsspec knows), fetched into a cache folder.

Nothing is fetched unless the user asked for it: a row of a stranger's file could name any address in this network.
"""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from causal_attrib.errors import InputError
from causal_attrib.io.parsing import cut, one_line, reason_of

TRIES = 3
# Seconds: until an answer begins, and before the second try; before the third it is twice as long.
TIMEOUT, PAUSE = 60, 1.0
# Bytes of a picture, and of a file of rows.
LARGEST_PICTURE, LARGEST_ROWS = 256 * 2**20, 8 * 2**30

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_PIECE = 2**20
_GOOGLE = ("gs", "gcs")
_allowed: contextvars.ContextVar[bool] = contextvars.ContextVar("fetching", default=False)


def is_address(source: object) -> bool:
    """Whether it names something that is fetched."""
    return isinstance(source, str) and _SCHEME.match(source) is not None


@contextlib.contextmanager
def fetching(allowed: bool = True) -> Iterator[None]:
    """Whether pictures at addresses are fetched while it lasts; without it they are refused."""
    token = _allowed.set(allowed or _allowed.get())
    try:
        yield
    finally:
        _allowed.reset(token)


def is_fetching() -> bool:
    return _allowed.get()


def picture_bytes(address: str) -> bytes:
    """The file at an address. It is kept in the cache folder, by its address: a picture is taken for the same for ever.

    Raises:
        InputError: there is none, it is too large, or it does not come in three tries.
    """
    kept = cache_folder() / hashlib.sha256(address.encode()).hexdigest()
    with contextlib.suppress(OSError):
        return kept.read_bytes()
    data = _fetched(address, LARGEST_PICTURE)
    _keep(kept, data)
    return data


def rows_file(address: str) -> Path:
    """A copy of a file of rows, fetched anew, under a name with its suffix."""
    data = _fetched(address, LARGEST_ROWS)
    name = re.sub(r"[^\w.-]", "_", address.partition("?")[0].rpartition("/")[2])
    kept = cache_folder() / f"{hashlib.sha256(address.encode()).hexdigest()[:16]}-{name}"
    _keep(kept, data)
    if not kept.is_file():
        raise InputError(f"{kept} cannot be written; name another cache folder by COPO_CACHE.")
    return kept


def matches(pattern: str) -> list[str]:
    """The addresses that a pattern with * names, in order; the pattern itself without one."""
    if not any(sign in pattern for sign in "*["):
        return [pattern]
    system, path = _system(pattern)
    try:
        return sorted(system.unstrip_protocol(found) for found in system.glob(path))
    except Exception as error:
        raise InputError(f"{_short(pattern)} cannot be listed ({reason_of(error)}); name the files.") from None


def cache_folder() -> Path:
    """Where fetched files are kept: COPO_CACHE, or copo in the user's cache folder."""
    named = os.environ.get("COPO_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else base / "copo" / "fetched"


def _fetched(address: str, largest: int) -> bytes:
    system, path = _system(address)
    too_large = InputError(
        f"{_short(address)} has more than {largest / 2**20:.0f} MB; fetch it yourself, and give the file."
    )
    # gcsfs tries six times itself, and cannot be told not to.
    for left in reversed(range(1 if address.lower().startswith(tuple(_GOOGLE)) else TRIES)):
        try:
            with system.open(path, "rb", block_size=0 if "http" in str(system.protocol) else None) as file:
                if (getattr(file, "size", None) or 0) > largest:
                    raise too_large
                data = bytearray()
                while piece := file.read(_PIECE):
                    data += piece
                    if len(data) > largest:
                        raise too_large
            return bytes(data)
        except InputError:
            raise
        except FileNotFoundError:
            raise InputError(f"There is no file {_short(address)}; check the address.") from None
        # A store may raise anything, also of libraries that are not installed here.
        except Exception as error:
            if not left or isinstance(error, (PermissionError, ImportError)):
                raise InputError(
                    f"{_short(address)} cannot be fetched ({reason_of(error)}); check the address, and that this "
                    "machine may read it."
                ) from None
            time.sleep(PAUSE * (TRIES - left))
    raise AssertionError


def _system(address: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError:
        raise InputError(f"{_short(address)} needs fsspec; install it with pip install 'copo[remote]'.") from None
    scheme = address.partition("://")[0].lower()
    options: dict[str, Any] = {}
    if scheme in ("http", "https", *_GOOGLE):
        try:
            import aiohttp

            timeout = aiohttp.ClientTimeout(sock_connect=TIMEOUT, sock_read=TIMEOUT)
            options = {"requests_timeout": timeout} if scheme in _GOOGLE else {"client_kwargs": {"timeout": timeout}}
        except ImportError:
            pass  # told below
    elif scheme in ("s3", "s3a"):
        # botocore tries five times, and s3fs each of these five times, of which none would be told for an hour.
        config = {"connect_timeout": TIMEOUT, "read_timeout": TIMEOUT, "retries": {"total_max_attempts": 1}}
        options = {"config_kwargs": config}
    try:
        system, path = fsspec.core.url_to_fs(address, **options)
        if "config_kwargs" in options:
            system.retries = 1
        return system, path
    except ImportError as error:
        raise InputError(
            f"{_short(address)} cannot be read ({error}); install it with pip install 'copo[remote]'."
        ) from None
    except ValueError as error:
        raise InputError(f"{_short(address)} cannot be read ({reason_of(error)}); check the address.") from None


def _keep(path: Path, data: bytes) -> None:
    """In one step, since several processes may fetch the same. A folder that cannot be written keeps nothing."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, beside = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.replace(beside, path)
        except OSError:
            os.unlink(beside)
            raise


def _short(address: str) -> str:
    return cut(one_line(address), 200)
