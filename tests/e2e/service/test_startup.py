# SPDX-License-Identifier: MIT
"""From the command line to the first output: options, errors, certificate, addresses."""
import collections
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess

import pytest

from certificates import FINGERPRINT, make_pair, openssl
from helpers import (
    COMMAND,
    PASSWORD,
    PATIENCE,
    ROOT,
    SCALE,
    SETTINGS,
    Peer,
    in_time,
    join,
    run,
    scenario,
    wait_until,
)

README = (ROOT / "README.md").read_text()
START_MAX = 1 * max(SCALE, 2)  # seconds in which a wrong configuration must end the server


# ---- Options -------------------------------------------------------------------------------------


def write_config(folder, **changes):
    """A file with one setting per line; returns its path."""
    settings = {**SETTINGS, **changes}
    settings = {key: value for key, value in settings.items() if value is not None}
    path = folder / "config.json"
    path.write_text(json.dumps(settings, indent=4, ensure_ascii=False))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(tmp_path, option):
    done = run(option, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for named in ("-c", "--check-config", "--version", "--help"):
        assert named in done.stdout


def test_version(tmp_path):
    done = run("--version", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"ragnarok \d+\.\d+\.\d+\n(.+\n)*", done.stdout)


@pytest.mark.parametrize("arguments", [["--no-such-option"], ["-c"], ["-x"]], ids=str)
def test_wrong_options(tmp_path, arguments):
    write_config(tmp_path)
    done = run(*arguments, folder=tmp_path)
    assert done.returncode > 0 and done.stdout == ""
    assert "--help" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["a.json", "b.json"], ["-c", "a.json", "b.json"], ["b.json", "-c", "a.json"], ["-c", "a.json", "-c", "b.json"]],
    ids=" ".join,
)
def test_two_files_are_refused_by_name(tmp_path, arguments):
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert re.match(r"ragnarok: expected one file of settings, got \w\.json and \w\.json\n", done.stderr)
    assert "a.json" in done.stderr and "b.json" in done.stderr and "--help" in done.stderr


def test_a_path_without_an_option_is_the_file(tmp_path):
    path = write_config(tmp_path, server_port="wrong").rename(tmp_path / "room.json")
    done = run("room.json", "--check-config", folder=tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("room.json:6:")
    assert run(str(path), folder=tmp_path).stderr.startswith(f"{path}:6:")


def test_check_config_names_all_faults(tmp_path):
    path = write_config(tmp_path, server_port="wrong", history=-1, max_client=5, server_ip=None)
    done = run("--check-config", str(path), folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    faults = [re.match(rf"{re.escape(str(path))}:(?:\d+:\d+:)? (\w+): ", line)[1] for line in done.stderr.splitlines()]
    assert faults == ["server_port", "history", "max_client", "server_ip"]
    started = run(str(path), folder=tmp_path)
    assert started.returncode == 1 and started.stderr == done.stderr.splitlines(True)[0]


def test_init_writes_settings_that_start(tmp_path):
    done = run("--init", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(os.listdir(tmp_path)) == ["config.json", "config.json.txt"]
    for name in os.listdir(tmp_path):
        assert name in done.stdout
    path = tmp_path / "config.json"
    assert path.read_bytes() == (ROOT / "config.json").read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert run("--check-config", folder=tmp_path).returncode == 0


def test_init_keeps_settings_that_are_there(tmp_path):
    path = write_config(tmp_path).rename(tmp_path / "room.json")
    before = path.read_bytes()
    for _ in range(2):
        assert run("--init", "room.json", folder=tmp_path).stdout.startswith("Kept room.json\n")
    assert path.read_bytes() == before and (tmp_path / "room.json.txt").exists()


def test_init_explains_each_setting_with_the_default_of_the_table(tmp_path):
    """Of docs/OPERATING.md."""
    run("--init", folder=tmp_path)
    notes = (tmp_path / "config.json.txt").read_text()
    values = json.loads("{" + re.sub(r"^#.*$", "", notes, flags=re.MULTILINE) + "}")
    table = (ROOT / "docs" / "OPERATING.md").read_text().split("## Settings", 1)[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) ?\|", table, re.MULTILINE))
    assert set(values) == set(rows) and len(rows) > 20
    for name, default in rows.items():
        assert not default or json.loads(default.strip("`")) == values[name], name
    assert len(re.findall(r"^\n?(?:# .+\n){2}\"", notes, re.MULTILINE)) == len(rows)


def test_check_config_starts_nothing(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        path = write_config(tmp_path, server_port=other.getsockname()[1])
        assert run("-c", str(path), "--check-config", folder=tmp_path).returncode == 0


def test_check_config_names_an_address_that_the_machine_has_not_and_the_certificate(tmp_path):
    (tmp_path / "no.pem").write_text("no certificate")
    path = write_config(tmp_path, server_ip="192.0.2.1", SSL=True, SSL_Cert="no.pem", SSL_Key="no.pem")
    done = run("--check-config", str(path), folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.findall(r": (\w+): ", done.stderr) == ["server_ip", "SSL_Cert"]


def test_check_config_complains_as_the_start_does(tmp_path):
    path = write_config(tmp_path, server_port="12345")
    checked = run("-c", str(path), "--check-config", folder=tmp_path)
    started = run("-c", str(path), folder=tmp_path)
    assert checked.returncode == started.returncode > 0
    assert checked.stderr == started.stderr != ""


def test_config_json_of_this_folder_is_the_default(tmp_path):
    write_config(tmp_path, server_port="wrong")
    done = run("--check-config", folder=tmp_path)
    assert done.returncode > 0
    assert re.search(r"(^|/|\s)config\.json:6:", done.stderr)


SEVEN = [
    "SSL", "SSL_Cert", "SSL_Key", "server_ip", "server_port", "server_name", "server_password",
]  # fmt: skip


def test_the_shipped_config_has_the_seven_keys():
    assert list(json.loads((ROOT / "config.json").read_text())) == [*SEVEN, "history"]


def test_shipped_config_is_good(tmp_path):
    shutil.copy(ROOT / "config.json", tmp_path)
    assert run("--check-config", folder=tmp_path).returncode == 0


# ---- Complaints ----------------------------------------------------------------------------------


def complaint(folder, path, **options):
    """The error about the file: one line, in time, with a failure status."""
    rounds = []
    assert in_time(lambda: rounds.append(run("-c", str(path), folder=folder, **options)), START_MAX)
    done = rounds[-1]
    assert done.returncode > 0
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.endswith("\n"), done.stderr
    assert str(path) in done.stderr
    assert PASSWORD not in done.stderr
    return done.stderr


def place_of(path, key):
    """FILE:LINE:COLUMN of the value of `key`, in a file with one setting per line."""
    for number, line in enumerate(path.read_text().split("\n"), 1):
        if line.lstrip().startswith(f'"{key}":'):
            return f"{path}:{number}:{line.index(':') + 3}:"
    raise AssertionError(key)


WRONG_VALUES = [
    ("SSL", "yes", "true or false"),
    ("SSL_Cert", 5, "path"),
    ("server_ip", True, "string"),
    ("server_ip", "", "string"),
    ("server_port", "12345", "0 to 65535"),
    ("server_port", 65536, "0 to 65535"),
    ("server_port", -1, "0 to 65535"),
    ("server_port", 12.5, "0 to 65535"),
    ("server_name", "x" * 65, "0 to 64"),
    ("server_name", "a\nb", "string"),
    ("server_password", 963, "string"),
    ("max_clients", 0, "from 1"),
    ("max_clients_per_address", -1, "from 0"),
    ("max_rooms", "many", "from 1"),
    ("max_message_bytes", 1, "from"),
    ("room_buffer_bytes", 1, "from"),
    ("room_buffer_bytes", 65536, "room_buffer_bytes of at least"),
    ("max_messages_per_second", -5, "from 0"),
    ("max_bytes_per_second", None, "from 0"),
    ("history", "50", "from 0"),
    ("history_file", 5, "path"),
    ("history_sync", "always", '"process" or "power"'),
    ("history_hours", -1, "from 0"),
    ("history_messages", 0, "from 1"),
    ("history_rooms", "*", "array"),
    ("history_rooms", ["a\u200b"], "name of a room"),
    ("history_search", "yes", "true or false"),
    ("cluster_engine", "redis", '"unix:PATH"'),
    ("cluster_secret", "short", "at least 32 bytes"),
    ("cluster_prefix", "", "1 to 32"),
    ("cluster_lease_seconds", 1, "from 3"),
    ("cluster_log_bytes", -1, "from 0"),
    ("cluster_room_seconds", 1, "from 60"),
    ("cluster_queue_bytes", 1, "from 65536"),
    ("allowed_origins", "*", "array"),
    ("allowed_origins", ["chat.example/path"], "scheme"),
    ("handshake_timeout_seconds", 0, "from 1"),
    ("login_timeout_seconds", 0, "from 1"),
    ("ping_interval_seconds", 0, "from 1"),
    ("log_level", "loud", '"info"'),
    ("log_addresses", 1, "true or false"),
]


@pytest.mark.parametrize("key, value, allowed", WRONG_VALUES, ids=repr)
def test_wrong_value(tmp_path, key, value, allowed):
    path = write_config(tmp_path, **{key: value if value is not None else "null"})
    if value is None:
        path.write_text(path.read_text().replace('"null"', "null"))
    said = complaint(tmp_path, path)
    if not isinstance(value, list):  # an entry of a list has its own position
        assert said.startswith(place_of(path, key)), said
    assert key in said
    assert re.search(rf"expected .*{re.escape(allowed)}.*, got ", said), said


@pytest.mark.parametrize("key", [key for key in SETTINGS if key != "server_name"])
def test_missing_key(tmp_path, key):
    path = write_config(tmp_path, **{"SSL": True, key: None})
    said = complaint(tmp_path, path)
    assert f" {key}: " in said and "missing" in said
    assert not list(tmp_path.glob("*.pem")), "nothing was made for a start that fails"


@pytest.mark.parametrize("key", ["max_client", "Server_ip", "ssl", "x"])
def test_unknown_key(tmp_path, key):
    path = write_config(tmp_path, **{key: 1})
    said = complaint(tmp_path, path)
    assert re.match(rf"{re.escape(str(path))}:9:5: {key}: .*unknown key", said), said


NOT_JSON = {
    "empty": ("", 1, 1),
    "word": ("hello", 1, 1),
    "array": ("[]", 1, 1),
    "trailing-comma": ('{\n    "SSL": false,\n}', 3, 1),
    "comment": ('{\n  // plain\n  "SSL": false\n}', 2, 3),
    "key-twice": ('{\n  "SSL": false,\n  "SSL": false\n}', 3, 3),
    "more-behind": ('{"SSL": false}\nmore', 2, 1),
}


@pytest.mark.parametrize("text, line, column", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_not_json(tmp_path, text, line, column):
    path = tmp_path / "config.json"
    path.write_text(text)
    assert complaint(tmp_path, path).startswith(f"{path}:{line}:{column}: ")


def test_no_such_file(tmp_path):
    said = complaint(tmp_path, tmp_path / "nowhere.json")
    assert os.strerror(2) in said


def test_huge_file(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("{" + " " * 65536 + "}")
    assert "65536 bytes" in complaint(tmp_path, path)


# ---- Address and port ----------------------------------------------------------------------------


def test_port_in_use(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        path = write_config(tmp_path, server_port=port)
        said = complaint(tmp_path, path)
    assert said.startswith(place_of(path, "server_port")), said
    assert "server_port" in said and str(port) in said and "in use" in said


@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8::7"])
def test_foreign_address(tmp_path, address):
    """It suggests 0.0.0.0, and never opens more than requested."""
    path = write_config(tmp_path, server_ip=address)
    said = complaint(tmp_path, path)
    assert said.startswith(place_of(path, "server_ip")), said
    assert "server_ip" in said and address in said and "0.0.0.0" in said


@pytest.mark.parametrize(
    "address, hosts, reach",
    [
        ("127.0.0.1", ["127.0.0.1"], "(?i)this (machine|computer|host)"),
        ("::1", ["[::1]"], "(?i)this (machine|computer|host)"),
        ("localhost", ["localhost"], "(?i)this (machine|computer|host)"),
        ("0.0.0.0", ["127.0.0.1"], "(?i)everyone|every(body| machine| computer)|anyone"),
        ("::", ["127.0.0.1", "[::1]"], "(?i)everyone|every(body| machine| computer)|anyone"),
    ],
)
def test_addresses_people_can_open(serve, address, hosts, reach):
    """`::` stands for both families. The output says who can reach the server."""
    server = serve(server_ip=address)
    server.wait_printed(reach)

    @scenario
    async def talk():
        for number, host in enumerate(hosts):
            await join(server, f"ana-{number}", url=server.url(host=host))

    talk()


def test_the_readme_shows_what_is_printed(serve):
    """Except for the name of the machine, the port, the fingerprints, and the path of the file."""
    (sample,) = re.findall(r"^(The room .*?)^```$", README, re.MULTILINE | re.DOTALL)
    host = socket.gethostname().partition(".")[0]
    pattern = re.escape(sample.replace("laptop", host)).replace("12345", r"\d+")
    pattern = pattern.replace("config\\.json", r"\S*config\.json")
    pattern = re.sub(r"(?:[0-9A-F]{2}:)+(?:\\\.){3}", FINGERPRINT.pattern, pattern)
    shipped = json.loads((ROOT / "config.json").read_text())
    server = serve(**{**shipped, "server_port": 0})
    server.finish()
    made, _, rest = server.printed().partition("\n")
    assert made.startswith("Made a key and a certificate")
    assert re.fullmatch(pattern, rest), f"{pattern}\n{rest}"


@pytest.mark.parametrize("name", [None, ""])
def test_a_room_without_a_name_is_called_as_the_machine(serve, name):
    host = socket.gethostname().partition(".")[0]
    server = serve(server_name=name)
    server.wait_printed(re.escape(f'The room "{host}" is open.'))

    @scenario
    async def talk():
        ana = await join(server, "ana")
        assert ana.joined["ServerName"] == host

    talk()


def test_password_needed_or_not(serve):
    serve().wait_printed(r"(?i)\bpassword\b")
    serve(server_password="").wait_printed(r"(?i)\b(no|without a?) ?password\b|public")


def test_sample_password_is_warned_of_where_others_can_reach(serve):
    """The one of the shipped file, on any address but loopback."""
    sample = json.loads((ROOT / "config.json").read_text())["server_password"]
    insisting = {"server_password": sample, "arguments": ["--allow-sample-password"]}
    open_to_all = serve(server_ip="0.0.0.0", **insisting)
    closed = serve(server_password=sample)
    own = serve(server_ip="0.0.0.0")
    for server in (open_to_all, closed, own):
        server.finish()
    warning = re.compile(r"WARNING:.*\bsample\b")
    assert warning.search(open_to_all.printed())
    for server in (closed, own):
        assert not warning.search(server.printed())


# ---- Networks of its own -------------------------------------------------------------------------

SAMPLE = json.loads((ROOT / "config.json").read_text())["server_password"]
IN_NETWORK = ["unshare", "--map-root-user", "--net", "sh", "-ec"]


def in_network(*addresses):
    """A command to start another one with, on a machine that has these addresses besides loopback."""
    added = [f"ip addr add {each} dev lo {'nodad' if ':' in each else ''}" for each in addresses]
    return [*IN_NETWORK, "\n".join(["ip link set lo up", *added, 'exec "$@"']), "sh"]


def networks_work():
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        probe = [*in_network("203.0.113.7/32", "2001:db8::7/128"), "true"]
        return subprocess.run(probe, capture_output=True, timeout=PATIENCE).returncode == 0
    return False


needs_networks = pytest.mark.skipif(not networks_work(), reason="needs unshare(1) and ip(8)")


@contextlib.contextmanager
def started_in(folder, addresses, *arguments, **changes):
    """A server on a machine with these addresses, until it has started or ended; what it wrote so far."""
    path = write_config(folder, **changes)
    with open(folder / "said", "w+b") as said:
        command = [*in_network(*addresses), *COMMAND, "-c", str(path), *arguments]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)

        def look():
            return (folder / "said").read_text()

        try:
            done = lambda: process.poll() is not None or " started " in look()  # noqa: E731
            wait_until(done, "the start or its end")
            yield process, look
        finally:
            process.terminate()
            process.wait(PATIENCE)


HOME, VPS = ["192.168.1.2/24"], ["203.0.113.7/24"]
HOME_6 = [*HOME, "2001:db8::7/128"]  # global and, we hope, behind a firewall


@needs_networks
@pytest.mark.parametrize(
    "addresses, server_ip",
    [
        (VPS, "0.0.0.0"),
        (VPS, "203.0.113.7"),
        ([*HOME, *VPS], "0.0.0.0"),
        (HOME_6, "::"),
        (HOME_6, "2001:db8::7"),
    ],
)
def test_the_sample_password_is_refused_where_the_internet_comes(tmp_path, addresses, server_ip):
    with started_in(tmp_path, addresses, server_ip=server_ip, server_password=SAMPLE) as (
        process,
        said,
    ):
        assert process.poll() == 1, said()
        place = place_of(tmp_path / "config.json", "server_password")
        assert re.fullmatch(rf"{re.escape(place)}.*--allow-sample-password, got .*\n", said()), said()


@needs_networks
@pytest.mark.parametrize(
    "addresses, server_ip, password, arguments",
    [
        (HOME, "0.0.0.0", SAMPLE, []),
        (HOME, "::", SAMPLE, []),
        (HOME_6, "0.0.0.0", SAMPLE, []),
        (VPS, "127.0.0.1", SAMPLE, []),
        (VPS, "0.0.0.0", PASSWORD, []),
        (VPS, "0.0.0.0", "", []),
        (VPS, "0.0.0.0", SAMPLE, ["--allow-sample-password"]),
    ],
)
def test_the_sample_password_starts_elsewhere(tmp_path, addresses, server_ip, password, arguments):
    """A family in its network of private addresses needs one command."""
    changes = {"server_ip": server_ip, "server_password": password}
    with started_in(tmp_path, addresses, *arguments, **changes) as (process, said):
        assert process.poll() is None, said()


@needs_networks
def test_a_reload_to_the_sample_password_is_refused_likewise(tmp_path):
    with started_in(tmp_path, VPS, server_ip="0.0.0.0") as (process, said):
        write_config(tmp_path, server_ip="0.0.0.0", server_password=SAMPLE)
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: " reload_failed " in said(), "the refusal")
        assert "--allow-sample-password" in said()
        write_config(tmp_path, server_ip="0.0.0.0")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: " reloaded " in said(), "the reload")


# ---- The file of the settings --------------------------------------------------------------------


def readable_warnings(server):
    return server.log().count(" warn settings_readable ")


def test_a_password_that_others_can_read_is_warned_of(serve):
    """At each reload; the shipped file has 0644 and no secret, so it is not warned of."""
    server = serve()
    assert readable_warnings(server) == 0
    for number, mode in enumerate((0o644, 0o604), 1):
        server.config.chmod(mode)
        server.signal(signal.SIGHUP)
        wait_until(lambda: server.log().count(" reloaded ") == number, "the reload")
        assert readable_warnings(server) == number
    server.config.chmod(0o600)
    server.signal(signal.SIGHUP)
    wait_until(lambda: server.log().count(" reloaded ") == 3, "the reload")
    assert readable_warnings(server) == 2
    assert f'file="{server.config}"' in server.log() and "chmod 600" in server.log()


@pytest.mark.parametrize("password, warnings", [(PASSWORD, 1), (SAMPLE, 0), ("", 0)])
def test_a_start_warns_of_a_password_that_others_can_read(serve, password, warnings):
    server = serve(mode=0o644, server_password=password)
    server.finish()
    assert readable_warnings(server) == warnings


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root")
def test_a_group_that_root_chose_may_read_the_password(serve):
    """As the packages install the file."""
    server = serve()
    for owner, warnings in ((0, 0), (65534, 1)):
        server.config.chmod(0o640)
        os.chown(server.config, owner, 0)
        before = server.log().count(" reloaded ")
        server.signal(signal.SIGHUP)
        wait_until(lambda: server.log().count(" reloaded ") > before, "the reload")
        assert readable_warnings(server) == warnings


# ---- Log -----------------------------------------------------------------------------------------


def wrong_password(server):
    """Makes the server log something about a client, and returns its log."""

    @scenario
    async def talk():
        ana = await Peer.open(server, protocols=())
        server.keep_secret("sesame-open-1147")
        await ana.send_text("sesame-open-1147")
        await ana.error("wrong_password")
        await ana.closed()

    talk()
    return server.log()


def test_addresses_are_logged_only_where_asked_for(serve):
    assert "127.0.0.1" in wrong_password(serve(log_addresses=True))
    assert "127.0.0.1" not in wrong_password(serve())


def test_log_level(serve):
    assert " warn wrong_password " in wrong_password(serve(log_level="warn"))
    server = serve(log_level="error")
    wrong_password(server)
    server.finish()
    assert server.log() == ""


def lost_lines(log):
    return sum(int(number) for number in re.findall(r" log_lost lines=(\d+)", log))


def test_reconnecting_cannot_fill_the_log(serve):
    """At most three lines a second of each event; omitted lines are counted and reported."""
    server, visits = serve(max_clients_per_address=0), 60

    @scenario
    async def come_and_go():
        for number in range(visits):
            peer = await join(server, f"ana{number}")
            await peer.close()

    come_and_go()
    server.finish()
    seconds = collections.Counter(line[:19] for line in server.log().splitlines())
    own = len(re.findall(r" info (?:started|stopping|stopped) ", server.log()))
    told = len(re.findall(r" info (?:joined|left) ", server.log()))
    assert own == 3
    # A second may span two of the log's; each of our lines may report omitted ones.
    most = 2 * (3 + 3 + 1) + 2 * own
    assert max(seconds.values()) <= most
    assert told + lost_lines(server.log()) == 2 * visits
    assert lost_lines(server.log()) > 0 or len(seconds) > visits / 10


# ---- Certificate ---------------------------------------------------------------------------------


def test_first_start_makes_a_certificate(serve):
    server = serve(SSL=True)
    assert stat.S_IMODE(server.key.stat().st_mode) == 0o600
    assert server.certificate.parent == server.config.parent != os.getcwd()
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as plain:
        with server.tls_context().wrap_socket(plain, server_hostname="localhost") as client:
            der = client.getpeercert(binary_form=True)
            names = client.getpeercert()["subjectAltName"]
            assert client.getpeercert()["notAfter"]
    digest = hashlib.sha256(der).hexdigest().upper()
    fingerprint = ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))
    assert fingerprint in server.printed()
    host = socket.gethostname().partition(".")[0]
    assert {("DNS", "localhost"), ("DNS", f"{host}.local")} <= set(names)
    assert all("." in name or name == "localhost" for kind, name in names if kind == "DNS")
    assert {("IP Address", "127.0.0.1"), ("IP Address", "0:0:0:0:0:0:0:1")} <= set(names)


def test_made_key_is_p256(serve):
    server = serve(SSL=True)
    shown = subprocess.run(
        ["openssl", "x509", "-in", server.certificate, "-noout", "-text"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert "prime256v1" in shown


def test_second_start_keeps_the_certificate(serve):
    """The path of a file may be absolute, or relative to the folder of the configuration."""
    first = serve(SSL=True)
    first.finish()
    key = f"../{first.folder.name}/{first.key.name}"
    second = serve(SSL=True, SSL_Cert=str(first.certificate), SSL_Key=key)
    fingerprints = FINGERPRINT.findall(first.printed())
    assert len(fingerprints) == 2 and FINGERPRINT.findall(second.printed()) == fingerprints


def test_no_certificate_is_made_without_tls(serve):
    server = serve()
    assert not server.certificate.exists() and not server.key.exists()
    assert not list(server.folder.glob("ragnarok-ca.*"))


def test_one_import_of_the_authority_covers_later_certificates(serve):
    """The machine seems to get another address between two starts."""
    first = serve(SSL=True)
    first.finish()
    authority = first.folder / "ragnarok-ca.crt"
    changes = {"SSL_Cert": str(first.certificate), "SSL_Key": str(first.key)}
    second = serve(SSL=True, server_ip="127.77.0.7", **changes)
    second.wait_printed("Issued the certificate again")
    assert "certificate_not_renewed" not in second.log()
    context = ssl.create_default_context(cafile=authority)
    with socket.create_connection(("127.77.0.7", second.port), PATIENCE) as plain:
        with context.wrap_socket(plain, server_hostname="127.77.0.7") as client:
            assert ("IP Address", "127.77.0.7") in client.getpeercert()["subjectAltName"]


def test_openssl_takes_the_certificate_strictly(serve):
    server = serve(SSL=True)
    name = server.certificate.name  # it also holds the intermediate
    openssl("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "ragnarok-ca.crt",
            "-untrusted", name, name, folder=server.folder)  # fmt: skip


def test_check_config_issues_nothing(serve, tmp_path):
    first = serve(SSL=True)
    first.finish()
    before = {path: path.read_bytes() for path in first.folder.glob("*.[cp][re][tm]")}
    path = write_config(
        tmp_path,
        SSL=True, SSL_Cert=str(first.certificate), SSL_Key=str(first.key), server_ip="127.77.0.7",
    )  # fmt: skip
    done = run("-c", str(path), "--check-config", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert before == {path: path.read_bytes() for path in first.folder.glob("*.[cp][re][tm]")}


def break_pair(folder, how):
    """Corrupts a valid pair in `folder`, and returns the setting that the error is about."""
    make_pair(folder, days=-1 if how == "expired" else 30)
    certificate, key = folder / "self-signed.crt", folder / "self-signed.pem"
    if how == "no-certificate":
        certificate.unlink()
    elif how == "no-key":
        key.unlink()
    elif how == "certificate-not-pem":
        certificate.write_text("not a certificate")
    elif how == "key-not-pem":
        key.write_text("not a key")
    elif how == "not-a-pair":
        make_pair(folder, name="other")
        (folder / "other.pem").replace(key)
    elif how == "open-to-others":
        key.chmod(0o604)
    elif how == "passphrase":
        openssl("ec", "-in", "self-signed.pem", "-aes128", "-passout", "pass:secret",
                "-out", "locked.pem", folder=folder)  # fmt: skip
        (folder / "locked.pem").replace(key)
        key.chmod(0o600)


@pytest.mark.parametrize(
    "how, key, found",
    [
        ("no-certificate", "SSL_Cert", r"self-signed\.crt"),
        ("no-key", "SSL_Key", r"self-signed\.pem"),
        ("certificate-not-pem", "SSL_Cert", "PEM"),
        ("key-not-pem", "SSL_Key", "PEM"),
        ("expired", "SSL_Cert", r"(?i)expired|over|until"),
        ("not-a-pair", "SSL_(Cert|Key)", "expected the key of the certificate"),
        ("open-to-others", "SSL_Key", "0600.*0604"),
        ("passphrase", "SSL_Key", "passphrase"),
    ],
)
def test_wrong_certificate(tmp_path, how, key, found):
    break_pair(tmp_path, how)
    before = sorted(os.listdir(tmp_path))
    path = write_config(tmp_path, SSL=True)
    said = complaint(tmp_path, path)
    assert re.search(rf":\d+:\d+: {key}: ", said), said
    assert re.search(found, said), said
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "config.json"])


def test_key_of_root_may_be_read_by_a_group(serve, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can own a file as root")
    make_pair(tmp_path)
    (tmp_path / "self-signed.pem").chmod(0o640)
    server = serve(SSL=True, SSL_Cert="../self-signed.crt", SSL_Key="../self-signed.pem")
    assert server.tls_context().get_ca_certs()
