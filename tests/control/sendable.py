"""A hook of schemathesis: requests that it cannot send as it means them are left out."""

from typing import Any

import schemathesis


@schemathesis.hook
def filter_path_parameters(context: schemathesis.HookContext, path_parameters: dict[str, Any]) -> bool:
    """Lists in a path are not encoded: from a `?` or `#` on it would be another part of the URL."""
    return not {"?", "#"} & set(str(path_parameters))
