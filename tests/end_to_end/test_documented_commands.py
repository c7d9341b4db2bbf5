"""What documents point to exists: `concilium` and `concilium-center` commands with their options, files, headings."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

import deploy.center.cli
import deploy.coordinator.cli

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "deploy" / "README.md", *(ROOT / "docs").glob("*.md")])
PROGRAMS = {"concilium": deploy.coordinator.cli.app, "concilium-center": deploy.center.cli.app}
BEFORE_A_COMMAND = {"admin", "--", "&&", "||"}
LINK = re.compile(r"\]\(([^)\s]+)\)")
ENDS_A_COMMAND = re.compile(r"[|;&<>].*|\d?>.*")


def shown(text: str) -> Iterator[str]:
    """What stands in code: indented and fenced lines, and what is between backticks."""
    fenced = False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line
        else:
            yield from (code for code in re.findall(r"`([^`]+)`", line) if code.split()[0] in PROGRAMS)


def commands(line: str) -> Iterator[list[str]]:
    """The words of each command of ours in a line, the program first."""
    try:
        words = shlex.split(line.replace("[", "").replace("]", ""), comments=True)
    except ValueError:
        return
    names = [Path(word).name for word in words]
    starts = [n for n, name in enumerate(names) if name in PROGRAMS and (n == 0 or words[n - 1] in BEFORE_A_COMMAND)]
    for start in starts:
        end = next((n for n in range(start, len(words)) if ENDS_A_COMMAND.fullmatch(words[n])), len(words))
        yield [names[start], *words[start + 1 : end]]


def finding(words: list[str]) -> str:
    """What is wrong with a command; empty where nothing is."""
    command: click.Command = typer.main.get_command(PROGRAMS[words[0]])
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.commands.get(rest[0])
        if found is None:
            return f"{' '.join(words)}: no command '{rest[0]}'"
        command, rest = found, rest[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    unknown = {word.partition("=")[0] for word in rest if word.startswith("--")} - known - {"--help"}
    return f"{' '.join(words)}: no option {', '.join(sorted(unknown))}" if unknown else ""


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_shows_only_commands_that_exist(path):
    found = [finding(words) for line in shown(path.read_text()) for words in commands(line)]
    assert [text for text in found if text] == []


def test_a_command_that_does_not_exist_is_found():
    assert finding(["concilium", "bank", "burn"]) == "concilium bank burn: no command 'burn'"


def test_an_option_that_does_not_exist_is_found():
    assert finding(["concilium-center", "check", "--data", "DIR", "--all"]).endswith("no option --all")


def test_a_command_after_another_program_and_before_a_pipe_is_read():
    line = "    docker compose run --rm admin .venv/bin/concilium status /study --json | head  # one line"
    assert list(commands(line)) == [["concilium", "status", "/study", "--json"]]


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(path: Path, text: str) -> list[str]:
    """The relative links of a document that lead nowhere."""
    found = []
    for link in LINK.findall(text):
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        if "://" in link or link.startswith("mailto:"):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target.read_text() if name else text)):
            found.append(link)
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_links_only_to_what_exists(path):
    assert broken_links(path, path.read_text()) == []


def test_a_link_that_leads_nowhere_is_found():
    links = "[a](docs/none.md) [b](README.md#none) [c](https://example.org/none) [d](docs/bank.md) [e](#a) [f](#b)\n# A"
    assert broken_links(ROOT / "README.md", links) == ["docs/none.md", "README.md#none", "#b"]
