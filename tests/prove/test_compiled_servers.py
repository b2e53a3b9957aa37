"""A compiled server with an orderly stop is acquitted, whatever its library does with newcomers."""

from pathlib import Path

from harness import free_port
from prove.proving import MANNERS, failures, prove
from servers.install import compiled

GO = """
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	server := &http.Server{Addr: "127.0.0.1:" + os.Args[1]}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") })
	ended, told := make(chan struct{}), make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	go func() {
		<-told
		server.Shutdown(context.Background())
		close(ended)
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	<-ended
}
"""


def test_a_go_binary_is_acquitted(tmp_path: Path) -> None:
    """Shutdown() hangs up on what it has accepted and not read: at most a warning, which names that."""
    program = compiled("go-shutdown", {"app.go": GO}, "go", "build", "-o", "app", "app.go", binary="app")()
    app = f'script = "{program["program"]}"\nargs = ["{free_port()}"]\ninterpreter = "none"\n'
    app += 'exec_mode = "cluster"\ninstances = 2\nkill_timeout = "20s"\nlisten_timeout = "60s"\n'
    code, report = prove(tmp_path, app, *MANNERS)
    assert failures(report) == {}
    assert code == 0
    warnings = [each["what"] for step in report["steps"] for each in step["findings"]]
    assert all("accepted and not read" in each or "keep-alive" in each for each in warnings), warnings
