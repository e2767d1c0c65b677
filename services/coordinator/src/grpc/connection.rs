//! A connection of a gRPC client.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};
use tonic::transport::server::Connected;

/// Every HTTP/2 client begins with this many bytes: the preface, and the header of a settings frame.
const BEGINNING: usize = 24 + 9;

/// A connection that must begin as HTTP/2 in limited time. From then on, pings notice a client that is gone.
pub(super) struct GrpcConnection {
    connection: boot::Connection,
    /// Bytes of the beginning that are missing, and the time limit.
    begins: Option<(usize, Pin<Box<Sleep>>)>,
}

impl GrpcConnection {
    pub(super) fn new(connection: boot::Connection, patience: Duration) -> Self {
        Self { connection, begins: Some((BEGINNING, Box::pin(tokio::time::sleep(patience)))) }
    }
}

impl Connected for GrpcConnection {
    type ConnectInfo = boot::Peer;

    fn connect_info(&self) -> boot::Peer {
        self.connection.peer()
    }
}

impl AsyncRead for GrpcConnection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut this.connection).poll_read(cx, buffer);
        if let Some((missing, limit)) = &mut this.begins {
            *missing = missing.saturating_sub(buffer.filled().len() - before);
            if *missing == 0 {
                this.begins = None;
            } else if outcome.is_pending() && limit.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client did not begin in time",
                )));
            }
        }
        outcome
    }
}

impl AsyncWrite for GrpcConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}
