"""Put the handover of one incarnation together: which channels it needs, and at which descriptors."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from pidone.contracts import Clock, InstanceId, Report
from pidone.ecosystem.spec import AppSpec, Seconds
from pidone.listen import needs
from pidone.listen.handover import Attachment, ProcessHandover, Watch
from pidone.listen.node import program
from pidone.listen.node.inspector import OPTIONS
from pidone.listen.node.ipc import Ipc
from pidone.listen.python.share import PythonShare, drain_env
from pidone.listen.readiness import probes
from pidone.listen.readiness.notify import Notify, watchdog_of
from pidone.listen.readiness.probes import RunCommand, check_of
from pidone.listen.readiness.ready_fd import ReadyFd
from pidone.listen.sockets import activation
from pidone.listen.sockets.address import of_listen
from pidone.listen.sockets.app_ports import AppPorts
from pidone.record import Record
from pidone.signames import signal_name

if TYPE_CHECKING:
    from pidone.listen.kernel.share import KernelShare
    from pidone.listen.readiness.looks import StartLooks

_Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
_LOADED: Final[Seconds] = 1.0
"""After so much more of its own time, one whose script has been run through loads no server any more."""


class _Provides(Attachment, Protocol):
    """An attachment that is reached by variables."""

    @property
    def env(self) -> Any: ...


class HandoverRequest(Record, kw_only=True):
    """Everything that decides about one handover."""

    loop: asyncio.AbstractEventLoop
    app: AppSpec
    who: InstanceId
    report: Report
    ports: AppPorts
    worker_id: int
    run_command: RunCommand | None
    deadlines: Clock
    looks: "Callable[[], StartLooks]"
    on_ignored: Callable[[str], None]


class Assembly:
    """The work bench; used once."""

    def __init__(self, request: HandoverRequest) -> None:
        self._request = request
        self._sockets = request.ports.sockets_of(request.app, request.who.index)
        self._env: dict[str, str] = {}
        self._fds: dict[int, int] = {}
        self._activated: list[int] = []
        self._pid_vars: list[str] = []
        self._attachments: list[Attachment] = []
        self._watches: list[Watch] = []
        self._ipc: Ipc | None = None
        self._kernel: KernelShare | None = None
        self._is_asked_for_server = False
        self._leave: Callable[[], None] = lambda: None
        self._is_heard: Callable[[], bool] = lambda: False

    def handover(self) -> ProcessHandover:
        """Make it. Raises ListenError or OSError; nothing stays open then."""
        request = self._request
        app = request.app
        try:
            self._env.update(needs.port_variable(app, request.who.index))
            self._attachments.append(self._sockets)
            self._add_ipc()
            self._inherit_sockets()
            self._add_share()
            self._add_heartbeat()
            self._add_notify()
            self._add_ready_fd()
            self._add_kernel_share()
            self._add_own_port()
            self._add_backlog_watch()
            handover = ProcessHandover(
                request.loop,
                argv=activation.fill_in(self._argv(), needs.activated(app), app.name),
                env=self._env,
                pid_vars=tuple(self._pid_vars),
                fds=self._fds,
                attachments=self._attachments,
                watches=self._watches,
                ipc=self._ipc,
                kernel=self._kernel,
                listens_aloud=needs.is_cluster_worker(app) or needs.shares_python(app),
                serves_nothing=needs.serves_nothing(app),
                steering=request.ports.steering,
                sockets=self._sockets,
                longest_idle=needs.longest_idle(app),
                on_drained=request.report.drained,
                ready_probe=self._ready_probe(),
                health=self._health(),
            )
        except BaseException:
            for attachment in self._attachments:
                attachment.close()
            raise
        self._leave = handover.leave
        return handover

    def _argv(self) -> tuple[str, ...]:
        app = self._request.app
        return program.without_launcher(app) if needs.is_cluster_worker(app) else app.argv

    @property
    def _label(self) -> str:
        who = self._request.who
        return f"{who.app}/{who.index}/{who.incarnation}"[:60]

    def _ready(self, how: str) -> Callable[[], None]:
        return lambda: self._request.report.ready(how)

    def _listening(self) -> None:
        if needs.counts_listening(self._request.app) and self._sockets.begins_to_serve():
            self._request.report.ready("listening")

    def _listening_somewhere(self, pid: int) -> None:
        self._when_at_rest(pid, self._serves_somewhere, patience=self._request.app.listen_timeout)

    def _serves_somewhere(self) -> None:
        if needs.counts_listening(self._request.app) and self._sockets.begins_to_serve(on_its_own=True):
            self._request.report.ready("listening")

    def _no_server(self, pid: int, *, has_loaded: bool) -> None:
        """It has loaded nothing so far that could listen: asked again when it has begun its work."""
        if not needs.counts_listening(self._request.app) or self._sockets.held:
            return
        if self._is_asked_for_server:
            self._request.report.ready("no server")
            return

        def ask() -> None:
            self._is_asked_for_server = True
            if self._ipc is not None:
                self._ipc.ask_for_server()

        # A launcher has nothing more to load; what it has started may.
        is_loaded = has_loaded and self._kernel is None
        self._when_at_rest(pid, ask, patience=_LOADED if is_loaded else self._request.app.listen_timeout)

    def _when_at_rest(self, pid: int, then: Callable[[], None], *, patience: Seconds) -> None:
        """Call `then` when the process has begun what it does: after `patience` of its own time at most."""
        from pidone.listen.readiness.rest import Settling  # noqa: PLC0415 (of few apps, and after their start)

        looks, extend = self._request.looks(), self._request.report.extend
        settling = Settling(looks, self._request.loop, pid, patience=patience, extend=extend, then=then)
        self._attachments.append(settling)
        self._watches.append(settling)

    def _message(self, value: object) -> None:
        if value == "ready" and self._request.app.ready.ipc:
            self._request.report.ready("ipc")
        else:
            self._request.report.message(value)

    def _add_ipc(self) -> None:
        request, app = self._request, self._request.app
        if not needs.has_ipc(app):
            return
        # After the activated sockets, whose numbers are fixed; without any it is 3, as under PM2.
        number = activation.FIRST + len(needs.activated(app))
        is_worker = needs.is_cluster_worker(app)
        patience = needs.hang_timeout(app)
        preload = None
        inspector = request.ports.inspector
        has_options = patience is not None and inspector.is_taken
        if is_worker:
            users = needs.variable(app, "NODE_OPTIONS")
            preload = program.preload_env(app, users, OPTIONS if has_options else "")
        if is_worker and preload is None:
            request.on_ignored("drain preload: the app's user cannot read it; keep-alive connections are cut")
        self._ipc = Ipc(
            request.loop,
            deadlines=request.deadlines,
            number=number + 1 if app.ready.fd == number else number,
            sockets=self._sockets if is_worker else None,
            worker_id=request.worker_id,
            preload=preload,
            stop="message" if app.shutdown_with_message else signal_name(app.kill_signal),
            on_listening=self._listening,
            on_drained=request.report.drained,
            on_no_server=lambda pid, loaded: self._no_server(pid, has_loaded=loaded),
            on_message=self._message,
            on_ignored=request.on_ignored,
            patience=patience,
            on_hung=request.report.hung,
            inspector=inspector,
            has_options=has_options,
        )
        self._fds.update(self._ipc.fds)
        self._attach(self._ipc)
        self._watches.append(self._ipc)

    def _inherit_sockets(self) -> None:
        listens = needs.activated(self._request.app)
        if not listens:
            return
        for number, entry in enumerate(listens, activation.FIRST):
            self._activated.append(number)
            inherited = self._sockets.obtain(of_listen(entry), index=0, backlog=entry.backlog)
            self._fds[number] = inherited.fileno()
            if self._ipc is not None:
                self._ipc.inherits(number, inherited)
        self._env.update(activation.variables(listens))
        self._pid_vars.append(activation.PID_VARIABLE)
        if needs.has_inherited_drain(self._request.app):
            self._env.update(drain_env(self._request.app, needs.variable(self._request.app, "PYTHONPATH")))

    def _add_share(self) -> None:
        request, app = self._request, self._request.app
        if not needs.shares_python(app):
            return
        self._attach(
            PythonShare(
                request.loop,
                app,
                self._sockets,
                label=self._label,
                python_path=needs.variable(app, "PYTHONPATH"),
                own_port=self._port(),
                on_listening=self._listening,
                on_ignored=request.on_ignored,
            )
        )

    def _add_heartbeat(self) -> None:
        """Of Python; that of Node is asked over its channel."""
        request, app = self._request, self._request.app
        patience = needs.hang_timeout(app)
        if patience is None or needs.is_cluster_worker(app):
            return
        from pidone.listen.python.heartbeat import PythonHeartbeat  # noqa: PLC0415 (not of every app)

        heartbeat = PythonHeartbeat(
            request.loop,
            patience,
            label=self._label,
            on_hung=request.report.hung,
            on_ignored=request.on_ignored,
        )
        self._is_heard = lambda: heartbeat.is_heard
        self._attach(heartbeat)
        self._watches.append(heartbeat)

    def _add_backlog_watch(self) -> None:
        request = self._request
        patience = needs.backlog_timeout(request.app)
        if patience is None:
            return
        from pidone.listen.readiness.backlog import BacklogWatch  # noqa: PLC0415 (few apps ask for it)

        steering, member = request.ports.steering, self._sockets.member
        watch = BacklogWatch(
            request.loop,
            patience,
            queued=lambda: steering.queued(member),
            ports=lambda: steering.numbers,
            is_needed=lambda: not self._is_heard(),
            on_hung=request.report.hung,
        )
        self._attachments.append(watch)
        self._watches.append(watch)

    def _add_kernel_share(self) -> None:
        request, app = self._request, self._request.app
        shares = needs.shares_kernel(app)
        would_share = needs.could_share_kernel(app) and not needs.shares_python(app)
        if would_share and needs.gains_rights(app):
            request.ports.kernel_refuses("its program would lose its rights (setuid, setgid, capabilities)")
        spares_main = not shares and needs.shares_with_children(app)
        is_asked = shares or spares_main or needs.is_heard_by_kernel(app)
        if not (is_asked and request.ports.kernel_may_share()):
            return
        from pidone.listen.kernel import seccomp  # noqa: PLC0415 (ctypes takes milliseconds)
        from pidone.listen.kernel.share import KernelShare  # noqa: PLC0415

        if not seccomp.is_known():
            self._kernel_refused("it takes Linux 5.9 on x86-64 or arm64")
            return
        self._kernel = KernelShare(
            request.loop,
            app,
            self._sockets,
            above=max(self._fds, default=2) + 1,
            own_port=self._port(),
            inherits=[self._fds[number] for number in self._activated],
            spares_main=spares_main,
            on_listening=self._listening if shares or spares_main else self._ready("listening"),
            on_guess=self._listening_somewhere,
            on_refused=self._kernel_refused,
        )
        self._attachments.append(self._kernel)

    def _add_own_port(self) -> None:
        request = self._request
        port = needs.seen_port(request.app, request.who.index)
        if port is None:
            return
        from pidone.listen.readiness.own_port import OwnPort  # noqa: PLC0415 (not of every app)

        look = OwnPort(request.looks(), request.loop, request.app, port, request.report)
        self._attachments.append(look)
        self._watches.append(look)

    def _kernel_refused(self, why: str) -> None:
        shares = needs.shares_kernel(self._request.app)
        if shares and not needs.shares_python(self._request.app):  # which shares what Python's sockets bind
            self._request.ports.kernel_refuses(why)

    def _add_notify(self) -> None:
        request, app = self._request, self._request.app
        watchdog = watchdog_of(app.env)
        if not (app.ready.notify or watchdog):
            return
        if watchdog is not None:
            self._pid_vars.append("WATCHDOG_PID")
        self._attach(
            Notify(
                request.loop,
                request.report,
                request.deadlines,
                label=self._label,
                watchdog=watchdog,
                on_ignored=request.on_ignored,
                on_leaving=lambda: self._leave(),  # noqa: PLW0108 (it is set when the handover exists)
            )
        )

    def _add_ready_fd(self) -> None:
        number = self._request.app.ready.fd
        if number is None:
            return
        pipe = ReadyFd(self._request.loop, number, self._ready("fd"))
        self._fds.update(pipe.fds)
        self._attachments.append(pipe)

    def _attach(self, attachment: _Provides) -> None:
        self._attachments.append(attachment)
        self._env.update(attachment.env)

    def _ready_probe(self) -> _Work | None:
        probe = self._request.app.ready.probe
        if probe is None:
            return None
        check = check_of(probe, self._probed(), self._port(), self._request.run_command)
        request = self._request
        on_ready, on_look = self._ready("probe"), request.report.probed
        return lambda: probes.until_ready(probe, check, on_ready, on_look, request.deadlines)

    def _health(self) -> _Work | None:
        probe = self._request.app.health
        if probe is None:
            return None
        check = check_of(probe, self._probed(), self._port(), self._request.run_command)
        request = self._request
        report = request.report
        return lambda: probes.until_failed(probe, check, report.failed, report.probed, request.deadlines)

    def _probed(self) -> AppSpec:
        """The app as this instance has it: a command that looks at it has to know which one it is."""
        app, index = self._request.app, self._request.who.index
        return app.but(env={**app.env, app.instance_var: str(index), **needs.port_variable(app, index)})

    def _port(self) -> int | None:
        return needs.own_port(self._request.app, self._request.who.index)
