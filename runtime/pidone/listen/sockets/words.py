"""What users are told once about the ports of an app."""

from pidone.ecosystem.spec import AppSpec, Balance


def elsewhere(slot: int, held: str, where: str) -> str:
    """An instance listens, but not where it should."""
    return (
        f"instance {slot} listens on {held}, not on {where} as the one beside it: it does not count as ready "
        "(a program that looks whether its port is free may have taken another one)"
    )


def starts_without(name: str) -> str:
    """Node is not given what a hung worker tells its stack by."""
    return (
        f"the Node of {name} did not begin with the options by which a hung worker tells its stack, as one "
        "older than 12 or without an inspector: it is started without them"
    )


def unshared(app: AppSpec, why: str) -> str:
    """Its processes are on their own."""
    if not app.listen:
        outcome = "its processes bind by themselves, and only one of them can"
    elif app.share == "kernel":
        outcome = (
            "what `listen` names is given up, so that its processes bind it themselves, which only one can"
        )
    else:
        outcome = "what `listen` holds can be had by number only (LISTEN_FDS, {fd}), and nobody can bind it"
    return f"the kernel cannot be asked to share the ports of {app.name}: {why}; {outcome}"


def own(name: str) -> str:
    """Each process gets its own sockets."""
    return (
        f"a process of {name} shuts down the sockets that all share when it stops: each one that starts from "
        "now on gets its own, among which the kernel deals connections out"
    )


def queue_unknown(name: str) -> str:
    """How many wait is not to be seen."""
    return (
        f"the kernel does not say how many connections wait for {name}: processes that do not accept are not "
        "steered around, and what waits for one that leaves is not waited for"
    )


def steering_refused(name: str, balance: Balance) -> str:
    """New connections are not steered."""
    return (
        f"the kernel takes no BPF program for the sockets of {name}: balance = {balance} uses the kernel's "
        "own hash, and does not avoid restarting slots"
    )
