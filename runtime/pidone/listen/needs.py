"""What an app's specification implies about ports and readiness, before anything is opened."""

import os
from typing import Final

from pidone import procfs, regular
from pidone.ecosystem.spec import AppSpec, ExecMode, Listen, Seconds
from pidone.errors import ListenError
from pidone.listen.node import program
from pidone.listen.sockets import activation
from pidone.listen.sockets.address import Address, Kind, of_listen

_LONGEST_IDLE: Final[Seconds] = 2.0
_VERSION: Final = "0123456789.t"
_HELPED: Final = ("uvicorn", "hypercorn")
_DEBUGGERS: Final = ("pdb", "debugpy")
_NO_DEBUGGER: Final = ("--inspect-port", "--inspect-publish-uid")
"""They say only where it would be."""


def is_cluster_worker(app: AppSpec) -> bool:
    """Whether its processes speak Node's cluster protocol with us; a package manager would not pass it on."""
    if app.exec_mode is not ExecMode.CLUSTER or program.is_package_runner(app.argv):
        return False
    return program.is_node(app)  # last, as it opens the program


def has_ipc(app: AppSpec) -> bool:
    """Whether its processes get an IPC channel: Node always, as under PM2; others when it is asked for."""
    return app.ready.ipc or app.shutdown_with_message or program.is_node(app)


def shares_python(app: AppSpec) -> bool:
    """Whether the bind() shim is used: on request, or for Python in cluster mode without `listen`."""
    if app.share is not None:
        return app.share == "python"
    if app.preload is not None and not _takes_numbers(app):  # where others have the kernel
        return app.exec_mode is ExecMode.CLUSTER or bool(app.listen) or app.ready.listen
    return app.exec_mode is ExecMode.CLUSTER and not app.listen and is_python(app)


def shares_kernel(app: AppSpec) -> bool:
    """Whether the kernel asks about its bind(): on request, in cluster mode, or for the ports of `listen`.

    Python has the shim besides: what that does not see (servers that bind outside Python, or by a class of
    their own) the kernel does. What is listed is passed by number as well, to those who look there.
    """
    return could_share_kernel(app) and not gains_rights(app)


def could_share_kernel(app: AppSpec) -> bool:
    """The same, whoever loses rights by it."""
    if app.share is not None:
        return app.share == "kernel"
    if is_cluster_worker(app) or app.increment_var is not None or app.preload is not None:
        return False
    if not app.listen:
        return app.exec_mode is ExecMode.CLUSTER
    return not _takes_numbers(app) and (app.exec_mode is ExecMode.CLUSTER or keeps_its_rights(app))


def asks_for_ports(app: AppSpec) -> bool:
    """Whether its processes get what they bind from us, listed or not."""
    return is_cluster_worker(app) or shares_python(app) or shares_kernel(app)


def chooses_address(app: AppSpec, entry: Listen) -> bool:
    """Whether the app says by its bind() which address and family a port without a host means."""
    return app.share in ("python", "kernel") and entry.number is None and not of_listen(entry).host


def ask_alike(one: AppSpec, other: AppSpec) -> bool:
    """Whether processes of both have the same reasons to ask for a port, for all that can be known of it."""
    ways = ("argv", "env", "cwd", "exec_mode", "share", "preload", "listen")
    return all(getattr(one, way) == getattr(other, way) for way in ways)


def shares_with_children(app: AppSpec) -> bool:
    """Whether the kernel asks about the bind() of those that a Node cluster worker starts.

    A tool of a package may start the app outside of the cluster (nodemon, cross-env). Most serve by
    themselves, and lose no rights for that.
    """
    if app.share is not None or not is_cluster_worker(app) or gains_rights(app):
        return False
    return program.is_packaged(app) and (program.is_launcher(app) or keeps_its_rights(app))


def _takes_numbers(app: AppSpec) -> bool:
    return any("{fd" in word for word in app.argv)


def keeps_its_rights(app: AppSpec) -> bool:
    """Whether `no_new_privs`, which the filter takes, changes nothing: for root, or where it is set."""
    if app.no_new_privs or (app.uid is None and os.geteuid() == 0):
        return True
    try:
        return "NoNewPrivs:\t1\n" in procfs.read_text("/proc/self/status")
    except OSError:  # not to be known: then nothing is taken away
        return False


def gains_rights(app: AppSpec) -> bool:
    """Whether its program is more than whoever starts it: setuid, setgid, or with capabilities of its file.

    `no_new_privs` would end that: sudo, or a node with cap_net_bind_service.
    """
    if app.remote is not None:
        return app.remote.gains_rights
    return regular.gains_rights(app.argv[0], is_root=app.uid is None and os.geteuid() == 0)


def is_heard_by_kernel(app: AppSpec) -> bool:
    """Whether the kernel tells when it listens: `ready = "listen"` of a program that nothing else hears."""
    told = is_cluster_worker(app) or shares_python(app) or app.preload is not None
    return app.ready.listen and not told and not gains_rights(app)


def may_shut_down(app: AppSpec) -> bool:
    """Whether it could call shutdown(2) on our sockets: Node never does, the shim keeps Python from it."""
    shares = shares_kernel(app) or shares_with_children(app)
    return shares or (bool(activated(app)) and not is_cluster_worker(app))


def has_inherited_drain(app: AppSpec) -> bool:
    """Whether it is a server with an inherited socket that the shim helps to drain (pidone_inherited.py)."""
    return bool(activated(app)) and any(os.path.basename(word) in _HELPED for word in app.argv)


def is_python(app: AppSpec) -> bool:
    """Whether this runs Python: the interpreter, or a script (gunicorn) whose first line names it."""
    return any(is_interpreter(word) for word in program.interpreted_by(app))


def is_interpreter(word: str) -> bool:
    """Whether a word names Python's interpreter."""
    return word.rpartition("/")[2].rstrip(_VERSION) in ("python", "pypy")  # python3.13t: free-threaded


def counts_listening(app: AppSpec) -> bool:
    """Whether the report that it listens makes an instance ready: if asked for, or if nothing else does."""
    return app.ready.listen or not app.ready.is_reported


def serves_nothing(app: AppSpec) -> bool:
    """Whether it takes its work from a queue, as far as anybody has said: nobody waits for it to listen."""
    from pidone.ecosystem.programs.working import never_listens  # noqa: PLC0415 (of apps that share only)

    asks_for_it = app.listen or app.share is not None or app.ready.listen
    return not asks_for_it and never_listens(app.argv)


def drain_time(app: AppSpec) -> Seconds:
    """Longest drain of one instance."""
    return app.kill_timeout if app.drain_timeout is None else app.drain_timeout


HANG_TIMEOUT: Final[Seconds] = 30.0


def longest_idle(app: AppSpec) -> Seconds:
    """How long a drain waits for clients that keep a connection and say nothing; the stop needs time too."""
    return min(_LONGEST_IDLE, drain_time(app) / 4, app.kill_timeout / 4)


def hang_timeout(app: AppSpec) -> Seconds | None:
    """How long a process that has a heartbeat may show no progress; None: nobody asks."""
    if _is_debugged(app) or not (is_cluster_worker(app) or shares_python(app) or has_inherited_drain(app)):
        return None
    return (HANG_TIMEOUT if app.hang_timeout is None else app.hang_timeout) or None


def backlog_timeout(app: AppSpec) -> Seconds | None:
    """How long a program may accept nobody while somebody waits: only by the key. None: nobody looks."""
    is_asked = bool(app.hang_timeout) and not (is_cluster_worker(app) or _is_debugged(app))
    return app.hang_timeout if is_asked else None


def _node_options(app: AppSpec) -> tuple[str, ...]:
    """The words among which options for Node are."""
    return (*app.argv, *variable(app, "NODE_OPTIONS").split())


def _is_debugged(app: AppSpec) -> bool:
    """Whether it is started to be debugged: it stands still at each breakpoint."""
    words = _node_options(app)
    inspects = any(word.startswith("--inspect") and not word.startswith(_NO_DEBUGGER) for word in words)
    return inspects or any(word in _DEBUGGERS for word in words)


def variable(app: AppSpec, name: str) -> str:
    """A variable as the app would see it without us; empty if it would not."""
    if name in app.env:
        return app.env[name]
    hidden = name in app.unset_env or (
        app.filter_env if isinstance(app.filter_env, bool) else any(part in name for part in app.filter_env)
    )
    return "" if hidden else os.environ.get(name, "")


def port_variable(app: AppSpec, index: int) -> dict[str, str]:
    """`increment_var`: instance n gets the value plus n. Raises ListenError if that is no number."""
    if app.increment_var is None:
        return {}
    base = variable(app, app.increment_var)
    if not (base.isascii() and base.isdigit()):
        raise ListenError(f"{app.name}: increment_var: {app.increment_var}={base!r} is not a number")
    return {app.increment_var: str(int(base) + index)}


def own_port(app: AppSpec, index: int) -> int | None:
    """The port that an instance serves, as far as it is known without asking it."""
    if app.increment_var is not None:
        return int(port_variable(app, index)[app.increment_var])
    ports = [entry.port for entry in app.listen if entry.kind == "tcp"]
    if ports:
        return ports[0]
    port = variable(app, "PORT")
    return int(port) if port.isascii() and port.isdigit() else None


def seen_port(app: AppSpec, index: int) -> int | None:
    """The port of its own on which a program will be seen to listen; None if another channel tells.

    What is in `listen` is not its own: that listens before it does.
    """
    shares = is_cluster_worker(app) or shares_python(app) or shares_kernel(app)
    is_told = app.ready.is_reported and not (app.ready.listen and gains_rights(app))
    if shares or app.listen or is_told or app.ready_delay <= 0:
        return None
    return own_port(app, index)


def check(app: AppSpec) -> None:
    """Refuse what can never work. Raises ListenError."""
    if app.share not in (None, "python", "kernel", "none"):
        raise ListenError(f"{app.name}: share = {app.share!r}: python, kernel and none are known")
    if app.share == "kernel" and gains_rights(app):
        raise ListenError(
            f'{app.name}: share = "kernel": {app.argv[0]} is setuid, setgid or has capabilities, and loses '
            'them by the no_new_privs that this takes: share = "none", or start what it starts'
        )
    first_free = activation.FIRST + len(activated(app))
    if app.ready.fd is not None and app.ready.fd < first_free:
        raise ListenError(
            f"{app.name}: ready.fd = {app.ready.fd}: numbers below {first_free} are taken "
            "by the standard streams and the listening sockets"
        )
    activation.fill_in(app.argv, activated(app), app.name)
    port_variable(app, 0)


def activated(app: AppSpec) -> tuple[Listen, ...]:
    """The entries of `listen` that are passed by number; those of the shim are asked for by bind()."""
    return () if app.share in ("python", "kernel") else app.listen


def wants_blocking(app: AppSpec) -> bool:
    """Whether its sockets block, as those of systemd do: a plain accept() waits then.

    What the shim or Node's cluster hands out is not: those accept until there is nothing more to take.
    """
    return bool(activated(app)) and not is_cluster_worker(app)


def shared_as(app: AppSpec, exact: Address) -> Address | None:
    """What is shared where a program binds `exact`; None if that is its own business.

    Without `listen` that is everything it names; with `listen`, those.
    """
    if not app.listen:
        return exact
    for entry in app.listen:
        listed = of_listen(entry)
        if entry.kind == exact.kind and (listed.host if exact.kind is Kind.UNIX else listed.port) == (
            exact.host if exact.kind is Kind.UNIX else exact.port
        ):
            return listed if listed.host or activated(app) else exact
    return None


def names(app: AppSpec, address: Address) -> bool:
    """Whether an address stands in an app's command line, environment or `listen`."""
    import re  # noqa: PLC0415 (few apps ask)

    if address.kind is Kind.UNIX:
        listed = any(entry.host == address.host for entry in app.listen)
        return listed or any(address.host in text for text in (*app.argv, *app.env.values()))
    number = re.compile(rf"(?<!\d){address.port}(?!\d)")
    return any(entry.port == address.port for entry in app.listen) or any(
        number.search(text) for text in (*app.argv, *app.env.values())
    )
