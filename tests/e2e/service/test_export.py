# SPDX-License-Identifier: MIT
"""ragnarok --export, with history files that follow the schema of docs/HISTORY.md."""
import json
import re
import sqlite3
import subprocess

from helpers import COMMAND, ROOT

EPOCH = "0123456789abcdef" * 2


def schema():
    return re.search(r"```sql\n(PRAGMA page_size.*?)```", (ROOT / "docs" / "HISTORY.md").read_text(), re.DOTALL)[1]


def body(number, text):
    return json.dumps({"msgType": "Broadcast", "SrcUser": "ana", "TgtUser": "", "text": text, "Id": number, "Time": 1})


def settings(folder, **more):
    path = folder / "config.json"
    path.write_text(json.dumps({"SSL": False, "SSL_Cert": "", "SSL_Key": "", "server_ip": "127.0.0.1", "server_port": 0,
                                "server_name": "x", "server_password": "p", **more}))
    return path


def history(folder):
    """A database that only the document says how to make."""
    database = sqlite3.connect(folder / "past.db")
    database.executescript(schema())
    database.execute("INSERT INTO room(name, epoch, last_id, used) VALUES('', ?, 2, 0), ('tea', ?, 1, 0)", (EPOCH, EPOCH))
    rows = [(1, 1, body(1, "one")), (1, 2, body(2, "二")), (2, 1, body(1, "other"))]
    database.executemany("INSERT INTO message VALUES(?, ?, 1000, ?)", rows)
    database.commit()
    return database


def export(folder, to):
    return subprocess.run([*COMMAND, "-c", "config.json", "--export", str(to)], cwd=folder, capture_output=True, text=True, timeout=60)


def test_each_message_is_a_line(tmp_path):
    settings(tmp_path, history_file="past.db")
    history(tmp_path).close()
    done = export(tmp_path, "-")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["Room"], line["Epoch"], line["Message"]["Id"], line["Message"]["text"]) for line in lines] == \
        [("", EPOCH, 1, "one"), ("", EPOCH, 2, "二"), ("tea", EPOCH, 1, "other")]


def test_a_message_with_many_fields_is_a_line(tmp_path):
    settings(tmp_path, history_file="past.db")
    database = history(tmp_path)
    fields = {f"field {n}": n for n in range(64)}
    database.execute("UPDATE message SET body=? WHERE room=2", [json.dumps({**json.loads(body(1, "many")), **fields})])
    database.commit()
    database.close()
    done = export(tmp_path, "-")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout.splitlines()[-1])["Message"]["field 63"] == 63


def test_a_file_is_made_for_its_owner_only(tmp_path):
    settings(tmp_path, history_file="past.db")
    history(tmp_path).close()
    assert export(tmp_path, "out.jsonl").returncode == 0
    assert (tmp_path / "out.jsonl").stat().st_mode & 0o777 == 0o600
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 3
    done = export(tmp_path, "out.jsonl")
    assert done.returncode == 1
    assert done.stderr == "out.jsonl: cannot be created: File exists\n"


def test_what_is_no_message_is_left_out(tmp_path):
    settings(tmp_path, history_file="past.db")
    database = history(tmp_path)
    database.execute("UPDATE message SET body='{}' WHERE room=2")
    database.commit()
    database.close()
    done = export(tmp_path, "-")
    assert done.returncode == 1
    assert done.stderr == "1 rows were left out: they are no messages\n"
    assert len(done.stdout.splitlines()) == 2


def test_a_message_with_line_breaks_is_one_line(tmp_path):
    """A client may break the lines of its JSON, and the server relays what it does not know as it is."""
    settings(tmp_path, history_file="past.db")
    database = history(tmp_path)
    broken = body(1, "one\ntwo").replace('"Time"', '"Mood": [1,\r\n2], "Time"')
    database.execute("UPDATE message SET body=? WHERE room=2", [broken])
    database.commit()
    database.close()
    done = export(tmp_path, "-")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.split("\n")[:-1]]
    assert len(lines) == 3 and lines[2]["Message"] == json.loads(broken)


def test_without_a_history_file(tmp_path):
    settings(tmp_path)
    done = export(tmp_path, "-")
    assert (done.returncode, done.stderr) == (1, "history_file: the settings name none\n")
    settings(tmp_path, history_file="missing.db")
    done = export(tmp_path, "-")
    assert (done.returncode, done.stderr) == (1, "./missing.db: cannot be read: No such file or directory\n")
    assert not (tmp_path / "missing.db").exists()
