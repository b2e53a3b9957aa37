"""What the bundle is made of, as scanners read it: CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/."""

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


def bill_of_materials(library: Path, libraries: Iterable[Path]) -> str:
    """CycloneDX 1.6: pidone, its packages, the interpreter and the libraries, with what Debian calls them."""
    packages = [metadata(path) for path in sorted(library.glob("*.dist-info"))]
    components: list[dict[str, object]] = [
        {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name.lower().replace('_', '-')}@{version}",
        }
        for name, version in packages
        if name != "pidone"
    ]
    components += [
        {
            "type": "application",
            "name": "cpython",
            "version": ".".join(map(str, sys.version_info[:3])),
            "purl": f"pkg:generic/cpython@{'.'.join(map(str, sys.version_info[:3]))}",
        }
    ]
    components += [
        {"type": "library", "name": name, "version": version, "purl": f"pkg:deb/debian/{name}@{version}"}
        for name, version in sorted({*filter(None, map(debian_package, libraries))})
    ]
    (own,) = (version for name, version in packages if name == "pidone")
    made = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "name": "pidone",
                "version": own,
                "purl": f"pkg:pypi/pidone@{own}",
            }
        },
        "components": components,
    }
    return json.dumps(made, indent=1) + "\n"


def metadata(described: Path) -> tuple[str, str]:
    """Name and version of an installed package."""
    fields = dict(re.findall(r"^(Name|Version): (.+)$", (described / "METADATA").read_text(), re.MULTILINE))
    return fields["Name"], fields["Version"]


def debian_package(path: Path) -> tuple[str, str] | None:
    """Name and version of the package that a file is from, None where dpkg knows none."""
    for name in (path, Path("/usr") / path.relative_to("/"), path.resolve()):
        done = subprocess.run(["dpkg", "-S", str(name)], capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            if not line.startswith("diversion "):
                return _version(line.partition(":")[0])
    return None


def _version(package: str) -> tuple[str, str]:
    asked = ["dpkg-query", "--show", "--showformat=${Version}\n", package]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    return package, done.stdout.splitlines()[0]
