# SPDX-License-Identifier: MIT
"""How tools/bundle.py makes the files of the page, and what it refuses."""
import json
import re
import subprocess

import pytest

from helpers import PATIENCE, ROOT
from page_files import bundle

INDEX = '<html><main id="join"><b data-t="hi"></b></main><script type="module" src="/app.js"></script></html>'
WORDS = 'export const TABLE = {\n  en: {\n    hi: "Hi & <hello>",\n  },\n};\n'


@pytest.fixture
def web(tmp_path):
    """Writes files into a folder with the least that a page has, and returns the folder."""

    def write(**files):
        files = {"app.js": 'import { TABLE } from "./strings.js";\n', **files}
        for name, text in {"index.html": INDEX, "strings.js": WORDS, **files}.items():
            (tmp_path / name).write_text(text)
        return tmp_path

    return write


def named(folder):
    return {re.sub("-[0-9a-f]{12}", "", file.name): file for file in bundle.bundle(folder)}


def run_script(folder, tmp_path):
    """What the bundled script writes to standard output."""
    script = tmp_path / "out.mjs"
    script.write_bytes(named(folder)["app.js"].content)
    done = subprocess.run(
        ["node", str(script)], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    script.unlink()
    return done.stdout


def test_modules_run_once_each_after_what_they_import(web, tmp_path):
    """Every form that is understood; the same name in two modules is no trouble."""
    folder = web(**{
        "app.js": 'import { TABLE } from "./strings.js";\nimport * as two from "./two.js";\n'
        'import { one, Thing as Other,\n  count } from "./one.js";\n'
        "const own = await Promise.resolve(count());\n"
        "console.log(JSON.stringify([one, two.a, two.b, two.second(), new Other().x, own, two.c]));\n",
        "one.js": "let own = 0;\nexport const one = 1;\nexport class Thing { x = 7; }\n"
        "export function count() {\n  return ++own;\n}\n",
        "two.js": 'import { count } from "./one.js";\nconst own = count();\n'
        "export const { a, b } = { a: own, b: 5 };\nexport const [c] = [9];\n"
        "export const second = () => own + 10;\nexport async function late() {\n  await 0;\n}\n",
    })  # fmt: skip
    assert json.loads(run_script(folder, tmp_path)) == [1, 1, 5, 11, 7, 2, 9]


def test_whole_lines_of_comments_become_empty_and_literals_stay(web):
    folder = web(**{"app.js": 'import { TABLE } from "./strings.js";\n// one\n/* two */ let a = 1; // three\n'
                              "/** four\n * five\n */\nconst b = `six\n// seven\n/* eight`;\n"})  # fmt: skip
    kept = named(folder)["app.js"].content.decode().split("==== app.js\n", 1)[1]
    assert "\n\n let a = 1; // three\n\n\n\nconst b = `six\n// seven\n/* eight`;\n" in kept


BAD = {
    "default": ({"one.js": "export default 1;\n"}, "one.js:1: not understood: export default"),
    "list": ({"one.js": "const a = 1;\n\nexport { a };\n"}, "one.js:3: not understood: export {"),
    "let": ({"one.js": "\nexport let a = 1;\n"}, "one.js:2: not understood: export let"),
    "bare": ({"one.js": 'import "./two.js";\n', "two.js": "\n"}, "one.js:1: not understood: import"),
    "other quotes": ({"one.js": "import { a } from './two.js';\n"}, "one.js:1: not understood"),
    "elsewhere": ({"one.js": 'import { a } from "two";\n'}, "one.js:1: not understood"),
    "dynamic": ({"one.js": "export const one = () => import('./two.js');\n"}, "one.js:1: a dynamic"),
    "meta": ({"one.js": "export const one = import.meta.url;\n"}, "one.js:1: import.meta"),
    "await": ({"one.js": "export const one = await 1;\n"}, "one.js:1: await outside"),
    "missing name": ({"one.js": "export const other = 1;\n"}, "app.js: one.js does not export one"),
    "missing file": ({"one.js": None}, "app.js: imports one.js, which is not there"),
    "cycle": (
        {"one.js": 'import { two } from "./two.js";\nexport const one = 1;\n',
         "two.js": 'import { one } from "./one.js";\nexport const two = 1;\n'},
        "two.js: a cycle of imports: app.js -> one.js -> two.js -> one.js",
    ),
    "unused": ({"two.js": "//\n"}, "two.js: neither app.js nor"),
    "exported twice": ({"one.js": "export const one = 1;\nexport function one() {}\n"}, "twice: one"),
    "entry exports": ({"app.js": "export const one = 1;\n"}, "app.js:1: not understood: export"),
    "handler": ({"index.html": '<b onclick="x()"></b>'}, "index.html: a style sheet or a handler"),
    "style": ({"index.html": '<b style="x"></b>'}, "index.html: a style sheet or a handler"),
    "no word": ({"index.html": INDEX.replace("hi", "bye")}, 'data-t="bye": strings.js has no'),
    "kind": ({"x.exe": "x"}, "x.exe: no content type"),
    "empty": ({"x.svg": ""}, "x.svg: must be a file, and not"),
    "name": ({"a b.svg": "x"}, "a name must be of letters"),
    "comment end": ({"one.js": "export const one = 1; /*\n/* 2\n"}, "one.js: a comment without an end"),
    "literal end": ({"one.js": "export const one = `1;\n"}, "one.js: a template literal without an end"),
    "style end": (
        {"x.css": "</style>", "index.html": '<link rel="stylesheet" href="/x.css">'},
        "x.css: </style would end it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_understood_is_refused_by_name(web, case):
    files, why = BAD[case]
    app = 'import { one } from "./one.js";\nimport { TABLE } from "./strings.js";\n'
    files = {"app.js": app, "one.js": "export const one = 1;\n", **files}
    with pytest.raises(bundle.Unfit, match=re.escape(why)):
        bundle.bundle(web(**{name: text for name, text in files.items() if text is not None}))


def test_embed_says_what_is_wrong_and_fails(web):
    folder = web(**{"one.js": "export default 1;\n", "app.js": 'import { one } from "./one.js";\n'})
    done = subprocess.run(
        [ROOT / "tools" / "embed", folder], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == f"embed: {folder}/one.js:1: not understood: export default 1;\n"


def test_words_styles_and_names_are_written_into_the_html(web):
    files = named(web(**{
        "x.css": "b { color: red }", "old.js": "var x;", "icon.svg": "<svg/>",
        "m.webmanifest": '{"icons": "/icon.svg"}',
        "index.html": '<link rel="icon" href="/icon.svg"><link rel="stylesheet" href="/x.css">'
        f'<script src="/old.js"></script>{INDEX}',
    }))  # fmt: skip
    text = files["index.html"].content.decode()
    icon = files["icon.svg"].name
    assert "<b data-t=\"hi\">Hi &amp; &lt;hello&gt;</b>" in text
    assert "<style>\nb { color: red }</style><script>\nvar x;</script>" in text
    assert f'href="/{icon}"' in text and f'src="/{files["app.js"].name}"' in text
    assert files["m.webmanifest"].content.decode() == f'{{"icons": "/{icon}"}}'
    assert {name for name, file in files.items() if file.kept} == set(files) - {"index.html"}


def test_a_name_changes_with_the_content(web):
    one = named(web(**{"icon.svg": "<svg/>"}))
    other = named(web(**{"icon.svg": "<svg />"}))
    assert one["icon.svg"].name != other["icon.svg"].name
    assert one["app.js"].name == other["app.js"].name
