"""The server file: private, strict, every finding at once, and no secret in what it says."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from client.pacs.settings import DicomwebServer, DimseServer, read_server
from protocol.errors import PacsError

SECRET = "an-open-secret"


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(PacsError) as refused:
        read_server(path)
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None or SECRET not in str(refused.value.__cause__)
    return str(refused.value)


def test_a_dicomweb_server_is_read(tmp_path: Path) -> None:
    file = write(
        tmp_path / "pacs.toml",
        f'[pacs]\nkind = "dicomweb"\nurl = "https://pacs.example/dicom-web"\nusername = "u"\npassword = "{SECRET}"\n',
    )
    found = read_server(file)
    assert isinstance(found, DicomwebServer)
    assert (found.url, found.password, found.timeout_s) == ("https://pacs.example/dicom-web", SecretStr(SECRET), 60)
    assert SECRET not in repr(found)


def test_a_dimse_server_is_read_with_files_beside_it(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").touch()
    file = write(
        tmp_path / "pacs.toml",
        '[pacs]\nkind = "dimse"\nhost = "pacs"\nport = 104\ntitle = "PACS"\nour_title = "US"\ntls = true\n'
        'authority = "ca.crt"\ntimeout_s = 5\n',
    )
    found = read_server(file)
    assert isinstance(found, DimseServer)
    assert (found.authority, found.timeout_s) == (tmp_path / "ca.crt", 5.0)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o610])
def test_a_file_that_others_may_use_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    file = write(tmp_path / "pacs.toml", f'[pacs]\npassword = "{SECRET}"\n', mode)
    assert f"`chmod 600 {file}`" in refusal(file)


def test_every_finding_is_told_at_once_without_the_values(tmp_path: Path) -> None:
    file = write(
        tmp_path / "pacs.toml",
        f'[pacs]\nkind = "dimse"\nhost = ""\nport = 70000\ntitle = "{SECRET}-that-is-too-long"\nour_title = "A\\\\B"\n'
        f'pasword = "{SECRET}"\n',
    )
    said = refusal(file)
    assert "5 problem(s)" in said
    for place in ("host", "port", "title", "our_title", "pasword"):
        assert f"pacs.dimse.{place}: " in said


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('url = "pacs.example"', "url is not as expected"),
        ('url = "https://u:p@pacs.example/x"', "url holds credentials"),
        ('url = "https://pacs.example"\nusername = "u"', "username and password belong together"),
        (f'url = "https://pacs.example"\nusername = "u"\npassword = "{SECRET}"\ntoken = "t"', "exclude each other"),
        (f'url = "http://pacs.example"\ntoken = "{SECRET}"', "in clear"),
        ('url = "https://pacs.example"\nkey = "a.key"', "certificate and key belong together"),
    ],
)
def test_what_does_not_fit_together_is_told(tmp_path: Path, lines: str, words: str) -> None:
    assert words in refusal(write(tmp_path / "pacs.toml", f'[pacs]\nkind = "dicomweb"\n{lines}\n'))


@pytest.mark.parametrize("line", ['url = "http://localhost:8042/x"', 'url = "http://pacs.example"\nunencrypted = true'])
def test_credentials_in_clear_are_for_this_machine_or_said(tmp_path: Path, line: str) -> None:
    file = write(tmp_path / "pacs.toml", f'[pacs]\nkind = "dicomweb"\n{line}\ntoken = "{SECRET}"\n')
    assert isinstance(read_server(file), DicomwebServer)


def test_certificates_without_tls_are_a_mistake(tmp_path: Path) -> None:
    text = '[pacs]\nkind = "dimse"\nhost = "p"\nport = 104\ntitle = "P"\nour_title = "U"\nauthority = "ca.crt"\n'
    assert "write `tls = true`" in refusal(write(tmp_path / "pacs.toml", text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    text = '[pacs]\nkind = "dicomweb"\nurl = "https://pacs.example"\nauthority = "missing.crt"\n'
    assert f"authority {tmp_path / 'missing.crt'}" in refusal(write(tmp_path / "pacs.toml", text))
    assert "cannot be read (No such file" in refusal(tmp_path / "none.toml")


def test_broken_toml_is_told_without_its_lines(tmp_path: Path) -> None:
    assert "not valid TOML" in refusal(write(tmp_path / "pacs.toml", f"[pacs]\npassword = {SECRET}\n"))


def test_an_unknown_kind_names_the_known_ones(tmp_path: Path) -> None:
    said = refusal(write(tmp_path / "pacs.toml", '[pacs]\nkind = "ftp"\n'))
    assert "'dicomweb', 'dimse'" in said


def test_what_is_refused_before_it_is_explained_shows_no_value_either() -> None:
    with pytest.raises(ValidationError) as refused:
        DicomwebServer.model_validate({"kind": "dicomweb", "url": "x", "username": "u", "token": SECRET})
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "text", ['[dicomweb]\nurl = "https://pacs.example"\n', "", '[pacs]\nkind = "web"\n', "pacs = 1\n"]
)
def test_a_file_of_another_shape_is_told_which_tables_and_keys_are_expected(tmp_path: Path, text: str) -> None:
    said = refusal(write(tmp_path / "pacs.toml", text))
    for word in ("[pacs]", 'kind = "dicomweb" with url', 'kind = "dimse" with host', "docs/pacs.md"):
        assert word in said
