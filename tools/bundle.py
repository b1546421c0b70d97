# SPDX-License-Identifier: MIT
"""Makes the files that a browser gets of the files in web/: few of them, so that the page opens in few
round trips.

- The script: all modules that app.js reaches, in one file. Each module becomes a function that is
  called once, in the order of their imports, and returns what the module exports. Lines stay, so that
  a debugger shows what was written; a comment that takes whole lines becomes empty ones, which makes
  the script a fifth shorter.
- HTML: a style sheet and a script without type="module" are written into it, and a policy allows
  exactly these by their SHA-256. The elements of <main id="join"> get their words from strings.js.
- All other files have a part of their SHA-256 in their names, and a browser may keep them.

A module may use what this file understands, and everything else is an error with file and line:
imports of names or of a whole module as one name, exports in front of a declaration. Errors, too: default
exports, lists of exports, an exported `let`, cycles, dynamic imports, `await` outside of a function
except in app.js.
"""
import base64
import hashlib
import html
import re
from pathlib import Path

ENTRY = "app.js"
WORDS = "strings.js"
HASH_DIGITS = 12  # of a SHA-256, in a name

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}

NAME = r"[A-Za-z_$][\w$]*"
IMPORT = re.compile(
    rf'^import (?:\{{([^}}]*)\}}|\* as ({NAME})) from "\./([\w.-]+\.js)";[ \t]*\n', re.MULTILINE
)
EXPORT = re.compile(
    rf"^export (?:(?:(?:async )?function\*?|class) ({NAME})|const (?:({NAME})|([{{\[])([^=]*?)[}}\]]) =)",
    re.MULTILINE,
)
IMPORTED = re.compile(rf"({NAME})(?: as ({NAME}))?$")
REFUSED = (
    (re.compile(r"\bimport\s*\("), "a dynamic import"),
    (re.compile(r"\bimport\.meta\b"), "import.meta"),
)


class Unfit(Exception):
    """A file that cannot be part of the page. The text names the file, the line and the reason."""


def refuse(path, text, at, why):
    line = text.count("\n", 0, at) + 1
    raise Unfit(f"{path}:{line}: {why}")


# ---- Modules -------------------------------------------------------------------------------------


def without_comments(path, text):
    """The text with an empty line for each line that is a comment. The lines of a template literal are
    none, so the back quotes of a module must come in pairs."""
    lines, in_comment, in_template = [], False, False
    for line in text.split("\n"):
        code = line.strip()
        if in_comment:
            in_comment, code = "*/" not in code, code.partition("*/")[2]
        elif not in_template and code.startswith("//"):
            code = ""
        elif not in_template and code.startswith("/*"):
            in_comment, code = "*/" not in code, code.partition("*/")[2]
        else:
            in_template ^= line.count("`") % 2 == 1
            code = line
        lines.append(code)
    if in_comment or in_template:
        raise Unfit(f"{path}: a {'comment' if in_comment else 'template literal'} without an end")
    return "\n".join(lines)


class Module:
    """One ES module: its imports, the names that it exports, and its text without both keywords."""

    def __init__(self, path):
        self.path = path
        self.imports = []  # (file name, code that takes the names)
        self.exports = []
        self.text = without_comments(path, path.read_text(encoding="utf-8"))
        self.body = IMPORT.sub(self.take_import, self.text)
        self.body = EXPORT.sub(self.take_export, self.body) if path.name != ENTRY else self.body
        self.check()

    @property
    def variable(self):
        return "module_" + re.sub(r"\W", "_", self.path.stem)

    def take_import(self, found):
        names, whole, file = found.groups()
        if whole:
            taken = whole
        else:
            each = [self.renamed(found, name) for name in names.split(",") if name.strip()]
            taken = "{ " + ", ".join(each) + " }"
        self.imports.append((file, taken))
        return "\n" * found.group().count("\n")

    def renamed(self, found, name):
        """`a as b` of an import is `a: b` where an object is taken apart."""
        parts = IMPORTED.match(name.strip())
        if not parts:
            refuse(self.path, self.text, found.start(), f"not a name to import: {name.strip()}")
        return f"{parts[1]}: {parts[2]}" if parts[2] else parts[1]

    def take_export(self, found):
        declared, single, bracket, listed = found.groups()
        if bracket:
            self.exports += [self.listed_name(found, name) for name in listed.split(",")]
        else:
            self.exports.append(declared or single)
        return found.group().removeprefix("export ")

    def listed_name(self, found, name):
        if not re.fullmatch(NAME, name.strip()):
            refuse(self.path, self.text, found.start(), f"not a plain name to export: {name.strip()}")
        return name.strip()

    def check(self):
        """Refuses what is left of imports and exports, and the rest of the list above."""
        for number, code in enumerate(self.body.split("\n"), 1):
            if re.match(r"(import|export)\b", code):
                raise Unfit(f"{self.path}:{number}: not understood: {code.strip()[:60]}")
            for pattern, what in REFUSED:
                if pattern.search(code):
                    raise Unfit(f"{self.path}:{number}: {what} is not understood")
            if self.path.name != ENTRY and re.match(r"(?!.*\b(async|function)\b)\S.*\bawait\b|await\b", code):
                raise Unfit(f"{self.path}:{number}: await outside of a function, which only {ENTRY} may use")
        twice = {name for name in self.exports if self.exports.count(name) > 1}
        if twice:
            raise Unfit(f"{self.path}: exported twice: {', '.join(sorted(twice))}")

    def write(self, modules):
        """The module as a function that was called; the entry as it is."""
        taken = []
        for file, names in self.imports:
            for name in re.findall(rf"({NAME})(?:: {NAME})?[,\s]", names) if names[0] == "{" else []:
                if name not in modules[file].exports:
                    raise Unfit(f"{self.path}: {file} does not export {name}")
            taken.append(f"const {names} = {modules[file].variable};")
        head = f"\n// ==== {self.path.name}\n\n"
        imports = "\n".join(taken) + ("\n" if taken else "")
        if self.path.name == ENTRY:
            return f"{head}{imports}{self.body}"
        exports = ", ".join(self.exports)
        return (
            f"{head}const {self.variable} = (() => {{\n{imports}{self.body}\n"
            f"return {{ {exports} }};\n}})();\n"
        )


def in_order(folder):
    """The modules that app.js reaches, each after those that it imports."""
    modules, done, open_ones = {}, [], []

    def visit(name, by):
        if name in open_ones:
            raise Unfit(f"{folder / by}: a cycle of imports: {' -> '.join([*open_ones, name])}")
        if name in modules:
            return
        path = folder / name
        if not path.is_file():
            raise Unfit(f"{folder / by}: imports {name}, which is not there")
        module = Module(path)
        open_ones.append(name)
        for file, _ in module.imports:
            visit(file, name)
        open_ones.pop()
        modules[name] = module
        done.append(module)

    visit(ENTRY, ENTRY)
    return modules, done


def bundle_script(folder):
    """One script of all modules, and their names."""
    modules, done = in_order(folder)
    return "".join(module.write(modules) for module in done), set(modules)


# ---- HTML ----------------------------------------------------------------------------------------


def source_hash(text):
    """What a Content-Security-Policy calls an inline style or script (CSP §2.3.1)."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def english(folder):
    """The rows of strings.js in English that are plain texts on one line."""
    text = (folder / WORDS).read_text(encoding="utf-8")
    found = re.search(r"^  en: \{\n(.*?)^  \},\n", text, re.DOTALL | re.MULTILINE)
    if not found:
        raise Unfit(f"{folder / WORDS}: no table \"en\"")
    rows = re.findall(rf'(?:^|[ ,])({NAME}): "((?:[^"\\\n]|\\["\\])*)"', found[1], re.MULTILINE)
    return {name: re.sub(r"\\(.)", r"\1", words) for name, words in rows}


def fill_in_words(path, text, rows):
    """Writes the words of data-t into the empty elements of <main id="join">."""

    def words(found):
        row = found[2]
        if row not in rows:
            raise Unfit(f"{path}: data-t=\"{row}\": strings.js has no such text in English")
        return found[1] + html.escape(rows[row], quote=False) + found[3]

    def fill(part):
        return re.sub(r'(<[^<>]*\bdata-t="(\w+)"[^<>]*>)(</)', words, part[0])

    return re.sub(r'<main id="join">.*?</main>', fill, text, flags=re.DOTALL)


def inline(folder, path, text):
    """Writes style sheets and plain scripts into the text. Returns it, their hashes, their names."""
    styles, scripts, names = [], [], set()

    def read(name, end):
        content = (folder / name).read_text(encoding="utf-8")
        if end in content.lower():
            raise Unfit(f"{folder / name}: {end} would end it in the middle")
        names.add(name)
        return "\n" + content

    def style(found):
        content = read(found[1], "</style")
        styles.append(source_hash(content))
        return f"<style>{content}</style>"

    def script(found):
        content = read(found[1], "</script")
        scripts.append(source_hash(content))
        return f"<script>{content}</script>"

    text = re.sub(r'<link rel="stylesheet" href="/([\w.-]+)">', style, text)
    text = re.sub(r'<script src="/([\w.-]+)"></script>', script, text)
    if re.search(r"<link rel=\"?stylesheet|\sstyle=|\son\w+=", text):
        raise Unfit(f"{path}: a style sheet or a handler that is not understood")
    return text, styles, scripts, names


# ---- All files -----------------------------------------------------------------------------------


class File:
    """One file as a browser gets it. `kept`: a browser may keep it, because its name changes with it."""

    def __init__(self, name, content, styles=(), scripts=(), kept=False):
        self.name, self.content, self.kept = name, content, kept
        self.type = TYPES[Path(name).suffix]
        self.styles, self.scripts = " ".join(styles), " ".join(scripts)


def hashed(name, content):
    digest = hashlib.sha256(content).hexdigest()[:HASH_DIGITS]
    return f"{Path(name).stem}-{digest}{Path(name).suffix}"


def refer(text, names):
    """Replaces "/NAME" in quotes by the name under which the file is served."""
    return re.sub(r'"/([\w.-]+)"', lambda found: f'"/{names.get(found[1], found[1])}"', text)


def sources(folder):
    """The files of the folder, without hidden ones and backups."""
    found = sorted(p for p in folder.iterdir() if not re.match(r"\.|#", p.name) and p.name[-1] != "~")
    for path in found:
        if not re.fullmatch(r"[A-Za-z0-9._-]+", path.name):
            raise Unfit(f"{path}: a name must be of letters, digits, dots, - and _")
        if path.suffix not in TYPES:
            raise Unfit(f"{path}: no content type is known for it")
        if not path.is_file() or path.stat().st_size == 0:
            raise Unfit(f"{path}: must be a file, and not empty")
    return found


def bundle(folder):
    """The files that a browser gets, sorted by name."""
    script, inside = bundle_script(folder)
    rows, served, names, pages = english(folder), [], {}, []
    every = sources(folder)

    def add(name, content):
        names[name] = hashed(name, content)
        served.append(File(names[name], content, kept=True))

    for path in every:
        if path.suffix == ".html":
            pages.append(inline(folder, path, fill_in_words(path, path.read_text("utf-8"), rows)))
            inside |= pages[-1][3]
    rest = [path for path in every if path.suffix != ".html" and path.name not in inside]
    for path in rest:
        if path.suffix == ".js":
            raise Unfit(f"{path}: neither {ENTRY} nor a page uses it")
        if path.suffix != ".webmanifest":
            add(path.name, path.read_bytes())
    for path in rest:
        if path.suffix == ".webmanifest":
            add(path.name, refer(path.read_text("utf-8"), names).encode())
    add(ENTRY, refer(script, names).encode())
    htmls = [path.name for path in every if path.suffix == ".html"]
    for name, (text, styles, scripts, _) in zip(htmls, pages):
        served.append(File(name, refer(text, names).encode(), styles, scripts))
    return sorted(served, key=lambda file: file.name)
