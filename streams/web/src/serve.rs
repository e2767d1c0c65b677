//! Listening and serving. The limits on connections and on slow clients are those of [`boot::serve_http`].

use std::net::SocketAddr;

use tokio::net::TcpListener;

pub use boot::serve_http as serve;

/// Listens on an address; where that is taken and `or_any_port` is set, on a free port of the same host.
pub async fn listen(mut address: SocketAddr, or_any_port: bool) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    if or_any_port && listener.is_err() {
        address.set_port(0);
        return TcpListener::bind(address).await;
    }
    listener
}
