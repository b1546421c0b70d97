# SPDX-License-Identifier: MIT
"""The first start: what the printed block says, and `--lan`."""
import json
import os
import pty
import re
import signal
import stat
import subprocess

import pytest

from helpers import COMMAND, PASSWORD, PATIENCE, ROOT, SETTINGS, join, run, scenario, wait_until
from server_control import lines

SAMPLE = json.loads((ROOT / "config.json").read_text())["server_password"]
WORDS = re.compile(r"^  Password:    ((?:[a-z]{3,10}-){3}[a-z]{3,10})$", re.MULTILINE)


def settings_of(server):
    return json.loads(server.config.read_text())


# ---- The block -----------------------------------------------------------------------------------


def test_the_sample_password_is_printed(serve):
    serve(server_password=SAMPLE).wait_printed(rf"\n  Password:    {SAMPLE} \(the sample\)\n")


def test_a_password_of_ones_own_is_not(serve):
    """serve() also checks that it is in no output; the block names the file that has it."""
    server = serve()
    server.wait_printed(rf"\n  Password:    needed, server_password in {re.escape(str(server.config))}\n")


def test_it_says_that_browsers_will_warn_and_why(serve):
    serve(SSL=True).wait_printed(r"\n  In browsers: they warn once, because .*\n.*open /trust")
    plain = serve()
    plain.finish()
    assert "In browsers" not in plain.printed()


def on_terminal(folder, *arguments, **changes):
    """All output of a start whose standard output and standard error are one terminal."""
    (folder / "config.json").write_text(json.dumps({**SETTINGS, **changes}))
    (folder / "config.json").chmod(0o644)
    seen, given = pty.openpty()
    said = b""
    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=given, stderr=given
    ) as process:
        os.close(given)
        try:
            while b" started " not in said:
                said += os.read(seen, 65536)
        finally:
            process.send_signal(signal.SIGTERM)
            os.close(seen)
            process.wait(PATIENCE)
    return said.decode().replace("\r\n", "\n")


def test_the_log_begins_below_the_block(tmp_path):
    """With warnings about the file and about root."""
    said = on_terminal(tmp_path)
    block, gap, log = said.partition("\n\n")
    assert gap and block.startswith("The room "), said
    assert not re.search(r"^\d{4}-", block, re.MULTILINE), said
    for line in log.strip().split("\n"):
        assert re.match(r"\d{4}-\d\d-\d\dT\S+ (info|warn) ", line), said
    assert "settings_readable" in log and ("running_as_root" in log) == (os.geteuid() == 0)


# ---- --lan ---------------------------------------------------------------------------------------


def test_lan_opens_the_room_with_a_password_of_its_own(serve):
    server = serve(arguments=["--lan"], SSL=True, server_ip="127.0.0.1", server_password=SAMPLE)
    password = server.wait_printed(WORDS).group(1)
    server.wait_printed("Reach: +(the LAN|everyone)")
    assert settings_of(server)["server_ip"] == "0.0.0.0"
    assert settings_of(server)["server_password"] == password
    assert password not in server.log()

    @scenario
    async def talk():
        await join(server, "ana", Password=password)
        server.secrets.discard(password)  # the block shows it

    talk()


def test_lan_keeps_the_rest_of_the_file(tmp_path):
    """Its bytes, its mode, and the link that leads to it."""
    text = (
        '\ufeff{ "server_password":"963",\r\n\t"SSL" : false, "server_ip": "127.0.0.1"  ,\n\n'
        '"server_port":0, "history":   7 }\n \n'
    )
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_bytes(text.encode())
    real.chmod(0o640)
    link.symlink_to(real.name)
    said = on_terminal_file(tmp_path, "--lan", "-c", link.name)
    password = WORDS.search(said)[1]
    expected = text.replace('"963"', f'"{password}"').replace('"127.0.0.1"', '"0.0.0.0"')
    assert real.read_bytes() == expected.encode()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["link.json", "real.json", "said"]
    assert link.is_symlink()


def on_terminal_file(folder, *arguments):
    """The output of a start that ends as soon as it has printed all, written to a file."""
    with open(folder / "said", "w+b") as said:
        process = subprocess.Popen(
            [*COMMAND, *arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        look = (folder / "said").read_text
        try:
            wait_until(lambda: " started " in look() or process.poll() is not None, "the start")
        finally:
            process.terminate()
            process.wait(PATIENCE)
    return look()


@pytest.mark.parametrize(
    "before, after",
    [("127.0.0.1", "0.0.0.0"), ("localhost", "0.0.0.0"), ("127.0.0.2", "0.0.0.0"), ("::1", "::")],
)
def test_lan_takes_all_addresses_of_the_family(serve, before, after):
    server = serve(arguments=["--lan"], server_ip=before)
    assert settings_of(server)["server_ip"] == after


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_lan_keeps_an_address_and_a_password_of_ones_own(serve, address):
    """Then there is nothing to write, and nothing is."""
    server = serve(arguments=["--lan"], server_ip=address, mode=0o444)
    assert settings_of(server) == {**SETTINGS, "server_ip": address}
    server.wait_printed("Password: +needed")
    assert settings_of(server)["server_password"] == PASSWORD


def test_lan_makes_a_password_once(serve):
    first = serve(arguments=["--lan"], server_ip="127.0.0.1", server_password=SAMPLE)
    password = first.wait_printed(WORDS).group(1)
    first.finish()
    second = serve(arguments=["--lan"], server_ip="127.0.0.1", server_password=SAMPLE)
    other = second.wait_printed(WORDS).group(1)
    assert password != other, "the same four words, by a chance of 2^-40"
    third = serve(arguments=["--lan"], **settings_of(first))
    third.keep_secret(password)
    third.wait_printed("Password: +needed")
    assert settings_of(third)["server_password"] == password


def test_lan_leaves_a_public_room_public(serve):
    server = serve(arguments=["--lan"], server_ip="127.0.0.1", server_password="")
    server.wait_printed("Password: +none")
    assert settings_of(server)["server_password"] == ""


def test_lan_that_cannot_write_names_the_file_and_starts_nothing(tmp_path):
    """A folder has the name of the new file."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**SETTINGS, "SSL": True}))
    before = path.read_bytes()
    (tmp_path / "config.json.new").mkdir()
    done = run("--lan", folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"config\.json: cannot be written, which --lan has to: .+\n", done.stderr)
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["config.json", "config.json.new"]


def test_lan_complains_of_wrong_settings_as_every_start_does(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({**SETTINGS, "server_port": -1}))
    assert run("--lan", folder=tmp_path).stderr == run(folder=tmp_path).stderr != ""


def test_check_config_with_lan_writes_nothing(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**SETTINGS, "server_password": SAMPLE}))
    before = path.read_bytes()
    assert run("--lan", "--check-config", folder=tmp_path).returncode == 0
    assert path.read_bytes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root")
def test_lan_with_sudo_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("SUDO_UID", "1000")
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**SETTINGS, "server_password": SAMPLE}))
    before = path.read_bytes()
    done = run("--lan", folder=tmp_path)
    assert done.returncode == 1 and "start it without sudo" in done.stderr
    assert path.read_bytes() == before


def test_a_reload_after_lan_keeps_the_password(serve):
    server = serve(arguments=["--lan"], server_ip="127.0.0.1", server_password=SAMPLE)
    password = server.wait_printed(WORDS).group(1)
    server.signal(signal.SIGHUP)
    wait_until(lambda: lines(server, "reloaded"), "the reload")

    @scenario
    async def talk():
        await join(server, "ana", Password=password)
        server.secrets.discard(password)  # the block shows it

    talk()
