"""Servers in Perl, Ruby and Erlang."""

from servers.install import tool
from servers.server import NEW, Server

_PSGI = """my $app = sub { [200, ["Content-Type" => "text/plain"], ["$$ up"]] };\n"""
_WEBRICK = """
require "webrick"
server = WEBrick::HTTPServer.new(Port: ENV["PORT"].to_i, BindAddress: "127.0.0.1", AccessLog: [],
  Logger: WEBrick::Log.new($stderr, WEBrick::Log::WARN))
server.mount_proc("/") { |_, response| response.body = "#{Process.pid} up" }
trap("TERM") { server.shutdown }
server.start
"""
_INETS = """
-module(app).

-export([start/0, do/1]).
start() ->
    {ok, _} = application:ensure_all_started(inets),
    {ok, _} = inets:start(httpd, [{port, list_to_integer(os:getenv("PORT"))}, {bind_address, {127, 0, 0, 1}},
        {server_name, "app"}, {server_root, "."}, {document_root, "."}, {modules, [app]}]),
    io:format("serves~n").
do(_) ->
    Body = os:getpid() ++ " up",
    {proceed, [{response, {response, [{code, 200}, {content_length, integer_to_list(length(Body))}], Body}}]}.
"""
_NEW = frozenset({NEW})

SERVERS = (
    Server(
        name="Starman",
        need=tool("starman"),
        command=("{program}", "--listen", "127.0.0.1:{port}", "app.psgi"),
        files={"app.psgi": _PSGI},
        loses=_NEW,
        shuts_down=True,
    ),
    Server(
        name="WEBrick",
        need=tool("ruby"),
        command=("{program}", "app.rb"),
        files={"app.rb": _WEBRICK},
        loses=_NEW,
        shuts_down=True,
    ),
    Server(
        name="inets httpd",
        need=tool("erl"),
        command=("{program}", "-noshell", "-eval", "{ok, app} = compile:file(app), app:start()."),
        files={"app.erl": _INETS},
        loses=_NEW,  # 500 as well: to what it accepts before it is there, and when it ends, alone too
    ),
)
