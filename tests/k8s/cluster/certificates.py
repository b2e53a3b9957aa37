"""One authority and the certificates of a node, made with openssl for the life of one cluster."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

DAYS = "2"


class Authority:
    """Signs what the cluster's programs show each other."""

    def __init__(self, folder: Path) -> None:
        """Make the authority's key and certificate in this folder, and a key pair for service accounts."""
        self.folder = folder
        folder.mkdir(mode=0o700)
        self._openssl(
            *("req", "-x509", "-subj", "/CN=pidone-test", "-days", DAYS, *_new_key("ca")),
            *("-addext", "keyUsage=critical,keyCertSign,digitalSignature", "-out", "ca.crt"),
        )
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "accounts.key")
        self._openssl("ec", "-in", "accounts.key", "-pubout", "-out", "accounts.pub")

    @property
    def certificate(self) -> Path:
        """The authority's own certificate."""
        return self.folder / "ca.crt"

    def issue(
        self, name: str, user: str, *, group: str = "", addresses: Sequence[str] = ()
    ) -> tuple[Path, Path]:
        """Certificate and key for a user of a group; with addresses (`DNS:…`, `IP:…`) also for a server."""
        subject = f"/O={group}/CN={user}" if group else f"/CN={user}"
        extensions = ["extendedKeyUsage=clientAuth,serverAuth"]
        if addresses:
            extensions.append(f"subjectAltName={','.join(addresses)}")
        (self.folder / f"{name}.ext").write_text("\n".join(extensions))
        self._openssl("req", "-subj", subject, *_new_key(name), "-out", f"{name}.csr")
        self._openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", DAYS, "-extfile", f"{name}.ext", "-out", f"{name}.crt"),
        )
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(
            ["openssl", *arguments], cwd=self.folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"openssl {' '.join(arguments)}: {done.stderr}")


def _new_key(name: str) -> list[str]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key"]
