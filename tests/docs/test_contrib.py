# SPDX-License-Identifier: MIT
"""What is in contrib/: completions know every option, and scripts are sound."""
import json
import os
import re
import shutil
import ssl
import subprocess
from xml.etree import ElementTree

import pytest

from certificates import make_pair
from helpers import COMMAND, PATIENCE, ROOT, wait_until
from terminal import RAGCHAT

CONTRIB = ROOT / "contrib"
COMPLETIONS = CONTRIB / "completions"
PROGRAMS = {"ragnarok": COMMAND, "ragchat": RAGCHAT}


def helped(program):
    """The options in the summary, both spellings."""
    done = subprocess.run(
        [*PROGRAMS[program], "--help"], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    lines = re.findall(r"^ +(-.*?)(?:  |$)", done.stdout, re.MULTILINE)
    return set(re.findall(r"(?<![\w-])--?[\w][\w-]*", "\n".join(lines)))


def in_bash(program, *words):
    """What bash would offer for the last of these words."""
    script = f"""
        . {COMPLETIONS / program}.bash
        COMP_WORDS=({program} {" ".join(f"'{word}'" for word in words)})
        COMP_CWORD={len(words)}
        _{program}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-uc", script], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    return set(done.stdout.split())


def in_zsh(program):
    text = (COMPLETIONS / f"_{program}").read_text()
    assert text.startswith(f"#compdef {program}\n")
    both = re.findall(r"'\{(-\w),(--[\w-]+)\}'\[", text)
    return {option for pair in both for option in pair} | set(re.findall(r"[')](--[\w-]+)\[", text))


def in_fish(program):
    text = (COMPLETIONS / f"{program}.fish").read_text()
    lines = re.findall(rf"^complete -c {program} (.*)$", text, re.MULTILINE)
    assert len(lines) > 8
    options = set()
    for line in lines:
        options |= {f"-{name}" for name in re.findall(r"(?:^| )-s (\w)", line)}
        options |= {f"--{name}" for name in re.findall(r"(?:^| )-l ([\w-]+)", line)}
    return options


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_shell_knows_every_option(program):
    options = helped(program)
    assert len(options) > 10
    assert in_bash(program, "-") == options
    assert in_zsh(program) == options
    assert in_fish(program) == options


@pytest.mark.parametrize("program", PROGRAMS)
def test_bash_narrows_down(program):
    assert in_bash(program, "--ver") == {"--version"}
    assert in_bash(program, "--nothing") == set()


def test_bash_completes_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "room.json").touch()
    (tmp_path / "room.txt").touch()
    (tmp_path / "roof").mkdir()
    for words in ([], ["-c"], ["--lan"]):
        assert in_bash("ragnarok", *words, "roo") == {"room.json", "roof"}
    assert in_bash("ragnarok", "--web-root", "roo") == {"roof"}
    assert in_bash("ragchat", "--ca", "roo") == {"room.json", "room.txt", "roof"}
    assert in_bash("ragchat", "--name", "roo") == set()


SHELLS = [(shell, path) for shell, ending in (("zsh", "_*"), ("fish", "*.fish")) for path in sorted(COMPLETIONS.glob(ending))]


@pytest.mark.parametrize("shell, path", SHELLS, ids=lambda value: getattr(value, "name", value))
def test_other_shells_can_parse_theirs(shell, path):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n", path], check=True, capture_output=True, timeout=PATIENCE)


def test_they_are_installed_and_removed(tmp_path):
    expected = {
        f"share/{folder}/{name}"
        for folder, names in {
            "bash-completion/completions": ["ragnarok", "ragchat"],
            "zsh/site-functions": ["_ragnarok", "_ragchat"],
            "fish/vendor_completions.d": ["ragnarok.fish", "ragchat.fish"],
        }.items()
        for name in names
    }
    place = [f"DESTDIR={tmp_path}", "PREFIX=/usr"]
    surroundings = {name: value for name, value in os.environ.items() if name[:4] != "MAKE"}
    for target in ("install-completions", "uninstall-completions"):
        subprocess.run(
            ["make", "-C", ROOT, target, *place],
            check=True, capture_output=True, env=surroundings, timeout=6 * PATIENCE,
        )  # fmt: skip
        found = {str(path.relative_to(tmp_path / "usr")) for path in tmp_path.rglob("*") if path.is_file()}
        assert found == (expected if target == "install-completions" else set())


# ---- Containers, certificates, the LAN -----------------------------------------------------------


def health_command(port):
    """The command of HEALTHCHECK, for a server on another port."""
    dockerfile = (ROOT / "Dockerfile").read_text().replace("\\\n", "")
    (command,) = re.findall(r"^HEALTHCHECK .*? CMD +(.*)$", dockerfile, re.MULTILINE)
    assert command.count(":12345/") == 2
    return ["sh", "-c", command.replace(":12345/", f":{port}/")]


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_container_is_healthy_while_the_server_answers(serve, tls):
    server = serve(SSL=tls)
    check = health_command(server.port)
    subprocess.run(check, check=True, capture_output=True, timeout=PATIENCE)
    server.finish()
    assert subprocess.run(check, capture_output=True, timeout=PATIENCE, check=False).returncode > 0


def test_the_compose_file_and_the_image_agree():
    dockerfile = (ROOT / "Dockerfile").read_text()
    compose = (CONTRIB / "docker" / "compose.yaml").read_text()
    port = re.search(r"^EXPOSE (\d+)$", dockerfile, re.MULTILINE)[1]
    assert f'ports: ["{port}:{port}"]' in compose
    for path in ("/var/lib/ragnarok", "/etc/ragnarok/config.json"):
        assert f":{path}" in compose and path in dockerfile


def hook(lineage, folder, reload):
    """Runs the hook as certbot does."""
    group = subprocess.run(["id", "-gn"], capture_output=True, text=True, check=True).stdout.strip()
    variables = {"RAGNAROK_FOLDER": str(folder), "RAGNAROK_GROUP": group, "RAGNAROK_RELOAD": reload}
    lineages = {"RENEWED_LINEAGE": str(lineage)} if lineage else {}
    return subprocess.run(
        [CONTRIB / "certbot" / "ragnarok.sh"],
        env={"PATH": os.environ["PATH"], **variables, **lineages},
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


def renewed(folder):
    """A pair as certbot leaves it."""
    folder.mkdir()
    make_pair(folder)
    (folder / "self-signed.crt").rename(folder / "fullchain.pem")
    (folder / "self-signed.pem").rename(folder / "privkey.pem")
    return folder


def served(server):
    """The certificate that clients get."""
    return ssl.get_server_certificate(("127.0.0.1", server.port)).strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="a key of mode 0640 has to belong to root")
def test_the_hook_of_certbot_deploys_a_renewed_certificate(serve, tmp_path):
    used, later = renewed(tmp_path / "used"), renewed(tmp_path / "later")
    server = serve(SSL=True, SSL_Cert=str(used / "fullchain.pem"), SSL_Key=str(used / "privkey.pem"))
    before = served(server)
    done = hook(later, used, f"kill -HUP {server.pid}")
    assert (done.returncode, done.stderr) == (0, "")
    wait_until(lambda: served(server) != before, "the new certificate")
    assert served(server) == (later / "fullchain.pem").read_text().strip()
    assert (used / "privkey.pem").stat().st_mode & 0o777 == 0o640
    assert not list(used.glob("*.new"))


def test_the_hook_of_certbot_changes_nothing_without_a_certificate(tmp_path):
    used = renewed(tmp_path / "used")
    before = {path: path.read_bytes() for path in used.iterdir()}
    half = renewed(tmp_path / "half")
    (half / "privkey.pem").unlink()
    for lineage in (None, tmp_path / "none", half):
        done = hook(lineage, used, f"touch {tmp_path}/reloaded")
        assert done.returncode > 0 and done.stderr
    assert "RENEWED_LINEAGE" in hook(None, used, "true").stderr
    assert {path: path.read_bytes() for path in used.iterdir()} == before
    assert not (tmp_path / "reloaded").exists()


def test_avahi_announces_the_port_of_the_sample():
    group = ElementTree.parse(CONTRIB / "avahi" / "ragnarok.service").getroot()
    sample = json.loads((ROOT / "config.json").read_text())
    assert group.tag == "service-group" and group.findtext("name") == "Chat on %h"
    assert group.findtext("service/port") == str(sample["server_port"])
    assert group.findtext("service/type") == ("_https._tcp" if sample["SSL"] else "_http._tcp")


SCRIPTS = [path for path in sorted(CONTRIB.rglob("*")) if path.is_file() and path.suffix in (".sh", ".bash")]


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_finds_nothing():
    assert len(SCRIPTS) >= 3
    done = subprocess.run(
        ["shellcheck", *SCRIPTS], capture_output=True, text=True, timeout=6 * PATIENCE, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
