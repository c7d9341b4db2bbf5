"""Which bundles and run options a center acts on, decided without unpacking anything."""

import hashlib
import io
import zipfile

import pytest

from client.node.bundle_guard import BundleError, RunOptionError, check_bundle, check_run_options


def test_a_bundle_that_is_no_archive_is_refused() -> None:
    with pytest.raises(BundleError, match="no zip archive"):
        check_bundle(b"text", frozenset({hashlib.sha256(b"text").hexdigest()}))


def test_a_member_that_comes_twice_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("pyproject.toml", "a")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("pyproject.toml", "b")
    data = buffer.getvalue()
    with pytest.raises(BundleError, match="expected nothing but"):
        check_bundle(data, frozenset({hashlib.sha256(data).hexdigest()}))


def test_run_options_that_are_allowed_pass_and_others_are_named() -> None:
    check_run_options(["study-directory"], ("study-directory",))
    with pytest.raises(RunOptionError, match=r"\['lora-rank'\]"):
        check_run_options(["study-directory", "lora-rank"], ("study-directory",))
