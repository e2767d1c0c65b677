//! Serving HTTP/1 and accepting connections, with limits: on how many there are, and on how long one may send
//! or read nothing.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use hyper::{
    Request,
    body::Incoming,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Sleep,
};

use crate::Tasks;

/// Most connections of one listener, where the limit of open files allows it.
const MOST_CONNECTIONS: u64 = 1_024;
/// Share of the process's open files that one listener may use: 1 in 4. The rest is for databases, logs and
/// the other listeners.
const SHARE_OF_FILES: u64 = 4;
/// How long a client may take to send the next part of a request (the headers, or the body); also how long a
/// connection may stay idle.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same while more than half of the connections are taken, so that slow clients soon make room for
/// others.
const PATIENCE_WHEN_CROWDED: Duration = Duration::from_secs(1);
/// How long a client may leave an answer unread before its connection is closed.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
/// How long open requests may take after the stop.
const GRACE: Duration = Duration::from_secs(5);
/// Pauses after an error of `accept`, e.g. no free file descriptor: doubled each time, up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The same trouble of a listener is logged at most this often.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Serves a router until stop. Every connection is closed within [`GRACE`] after it.
pub async fn serve_http(
    listener: TcpListener,
    name: &'static str,
    app: axum::Router,
    tasks: &Tasks,
) -> anyhow::Result<()> {
    let (listener, stop) = (Listener::new(listener, name), tasks.stop());
    let app = app.layer(axum::Extension(listener.crowd()));
    loop {
        let connection = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            connection = listener.accept() => connection,
        };
        let (stop, patience, peer) = (stop.clone(), listener.crowd().patience(), connection.peer());
        let app = TowerToHyperService::new(app.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            app.call(request)
        });
        tasks.start(async move {
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(patience);
            let mut served = std::pin::pin!(builder.serve_connection(TokioIo::new(connection), service));
            let outcome = tokio::select! {
                outcome = served.as_mut() => outcome,
                () = stop.cancelled() => {
                    served.as_mut().graceful_shutdown();
                    tokio::time::timeout(GRACE, served).await.unwrap_or(Ok(()))
                }
            };
            if let Err(error) = outcome {
                tracing::debug!(%error, listener = name, "a connection ended");
            }
        });
    }
}

/// Accepts connections, as many at a time as the process can bear. Errors of `accept` never end it.
pub struct Listener {
    listener: TcpListener,
    name: &'static str,
    crowd: Crowd,
    logged: Mutex<Option<Instant>>,
}

impl Listener {
    /// Limits a listener; `name` is for the log.
    pub fn new(listener: TcpListener, name: &'static str) -> Self {
        let most = most_connections();
        Self {
            listener,
            name,
            crowd: Crowd { slots: Arc::new(Semaphore::new(most)), most },
            logged: Mutex::default(),
        }
    }

    /// How many connections there are.
    pub fn crowd(&self) -> Crowd {
        self.crowd.clone()
    }

    /// Waits for the next connection. While the limit is reached, clients wait in the kernel's queue.
    pub async fn accept(&self) -> Connection {
        let slot = self.slot().await;
        let mut pause = SHORTEST_PAUSE;
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    // Small answers at once; a connection on which this cannot be set still works.
                    let _ = stream.set_nodelay(true);
                    return Connection { stream, peer: Peer(address), stalled: None, _slot: slot };
                }
                // The client's end, not ours.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionAborted
                            | io::ErrorKind::ConnectionReset
                            | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => {
                    if self.may_log() {
                        tracing::warn!(%error, listener = self.name, "could not accept a connection; will retry");
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        let slots = &self.crowd.slots;
        if let Ok(slot) = slots.clone().try_acquire_owned() {
            return Some(slot);
        }
        if self.may_log() {
            tracing::warn!(
                most = self.crowd.most,
                listener = self.name,
                "the limit of connections is reached: new ones wait"
            );
        }
        // Only a closed semaphore is an error, and this one is never closed.
        slots.clone().acquire_owned().await.ok()
    }

    fn may_log(&self) -> bool {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let may = logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if may {
            *logged = Some(Instant::now());
        }
        may
    }
}

fn most_connections() -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let most = files.map_or(MOST_CONNECTIONS, |files| (files / SHARE_OF_FILES).clamp(8, MOST_CONNECTIONS));
    usize::try_from(most).unwrap_or(Semaphore::MAX_PERMITS)
}

/// How full a listener is; also an extension of every request. Cheap to clone.
#[derive(Clone)]
pub struct Crowd {
    slots: Arc<Semaphore>,
    most: usize,
}

impl Crowd {
    /// How long a client may take to send the next part of its request.
    pub fn patience(&self) -> Duration {
        if self.slots.available_permits() * 2 < self.most { PATIENCE_WHEN_CROWDED } else { PATIENCE }
    }
}

/// A connection that counts against the limit of its listener, and fails when its client reads nothing for
/// [`WRITE_LIMIT`].
pub struct Connection {
    stream: TcpStream,
    peer: Peer,
    /// Runs while the client does not read.
    stalled: Option<Pin<Box<Sleep>>>,
    _slot: Option<OwnedSemaphorePermit>,
}

/// The other end of a connection: a client, or a proxy; an extension of every request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer(pub SocketAddr);

impl Connection {
    pub fn peer(&self) -> Peer {
        self.peer
    }

    fn limited<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_LIMIT)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.limited(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.limited(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
