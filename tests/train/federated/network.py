"""A federation on loopback: certificates, a client as a process of its own, a server in this one."""

from __future__ import annotations

import datetime
import ipaddress
import multiprocessing
import os
import socket
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.train.federated import a_client


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def certificates(folder: Path) -> dict[str, str]:
    """A certificate authority of one day, and a certificate of it for this machine."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir(parents=True)
    now = datetime.datetime.now(datetime.timezone.utc)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ca", "server")}
    names = {name: x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"test {name}")]) for name in keys}
    paths = {}
    for name, key in keys.items():
        made = (
            x509.CertificateBuilder()
            .subject_name(names[name]).issuer_name(names["ca"]).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        )  # fmt: skip
        paths[name] = folder / f"{name}.pem"
        paths[name].write_bytes(made.sign(keys["ca"], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(keys["server"].private_bytes(*form))
    return {"certificate": str(paths["server"]), "key": str(folder / "key.pem"), "ca": str(paths["ca"])}


@dataclass
class Running:
    """A client in a process of its own."""

    process: BaseProcess
    log: Path

    def said(self, timeout_s: float = 60) -> str:
        """What it wrote, once it has ended."""
        self.process.join(timeout_s)
        return self.log.read_text(encoding="utf-8")

    def stop(self) -> None:
        """End it, however it stands."""
        self.process.kill()
        self.process.join()


def start_client(folder: Path, name: str, address: str, **told: str) -> Running:
    """A client on the inputs in a folder; `behave` makes it misbehave.

    Each is a process, forked from one that has loaded torch and nothing else: loading it takes most of the time.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.train.federated.a_client"])
    log = folder.parent / f"{name}-{os.urandom(3).hex()}.log"
    told = {"home": str(folder.parent / "home"), "log": str(log), **told}
    process = context.Process(target=a_client.main, args=(folder, name, address, told))
    process.start()
    return Running(process, log)
