# SPDX-License-Identifier: MIT
"""Certificates that a user brings, made by openssl."""
import re
import subprocess

FINGERPRINT = re.compile(r"(?:[0-9A-F]{2}:){31}[0-9A-F]{2}")


def openssl(*arguments, folder):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_pair(folder, days=30, name="self-signed"):
    """Makes a key and a certificate; days < 0: it has expired."""
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x"]
    openssl("req", "-new", *new, "-keyout", f"{name}.pem", "-out", f"{name}.csr", folder=folder)
    openssl("x509", "-req", "-in", f"{name}.csr", "-signkey", f"{name}.pem",
            "-days", str(days), "-out", f"{name}.crt", folder=folder)  # fmt: skip
    (folder / f"{name}.pem").chmod(0o600)
