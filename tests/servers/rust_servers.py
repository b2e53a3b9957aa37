"""Servers in Rust."""

from servers.install import compiled
from servers.server import NEW, Server

_FILES = {
    "Cargo.toml": """
[package]
name = "app"
version = "0.1.0"
edition = "2021"
[[bin]]
name = "actix"
path = "src/actix.rs"
[[bin]]
name = "axum"
path = "src/axum.rs"
[[bin]]
name = "warp"
path = "src/warp.rs"
[dependencies]
actix-web = { version = "4", default-features = false, features = ["macros"] }
axum = { version = "0.8", default-features = false, features = ["http1", "tokio"] }
warp = { version = "0.4", features = ["server"] }
tokio = { version = "1", features = ["net", "rt-multi-thread", "macros", "signal"] }
""",
    "src/actix.rs": """
use actix_web::{get, App, HttpServer, Responder};
#[get("/")]
async fn index() -> impl Responder { format!("{} up", std::process::id()) }
#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
    HttpServer::new(|| App::new().service(index)).bind(("127.0.0.1", port))?.run().await
}
""",
    "src/axum.rs": """
use axum::{routing::get, Router};
use tokio::signal::unix::{signal, SignalKind};
#[tokio::main]
async fn main() {
    let app = Router::new().route("/", get(|| async { format!("{} up", std::process::id()) }));
    let port = std::env::var("PORT").unwrap();
    let listener = tokio::net::TcpListener::bind(format!("0.0.0.0:{port}")).await.unwrap();
    let stop = async { signal(SignalKind::terminate()).unwrap().recv().await; };
    axum::serve(listener, app).with_graceful_shutdown(stop).await.unwrap();
}
""",
    "src/warp.rs": """
use tokio::signal::unix::{signal, SignalKind};
use warp::Filter;
#[tokio::main]
async fn main() {
    let port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
    let routes = warp::any().map(|| format!("{} up", std::process::id()));
    warp::serve(routes).bind(([127, 0, 0, 1], port)).await
        .graceful(async { signal(SignalKind::terminate()).unwrap().recv().await; }).run().await;
}
""",
}


def _server(name: str, binary: str) -> Server:
    return Server(
        name=name,
        need=compiled("rust-web", _FILES, "cargo", "build", "--release", binary=f"target/release/{binary}"),
        command=("{program}",),
        loses=frozenset({NEW}),
    )


SERVERS = (_server("actix-web", "actix"), _server("axum", "axum"), _server("warp", "warp"))
