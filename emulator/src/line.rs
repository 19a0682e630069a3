//! A TCP connection that faults can break: reset, closed, or silent for good.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use iothub_core::fault::line::{Line, Loss};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tracing::debug;

const WHOLE: u8 = 0;
const RESET: u8 = 1;
const SILENT: u8 = 2;
const CLOSED: u8 = 3;

/// The connection. A look at whether it is whole costs one load.
#[derive(Debug)]
pub(crate) struct Tcp {
    stream: TcpStream,
    line: Arc<TcpLine>,
}

/// What breaks it. What it does shows with the next read or write, which is soon enough: whoever
/// breaks a connection serves it.
#[derive(Debug, Default)]
pub(crate) struct TcpLine(AtomicU8);

impl Line for TcpLine {
    fn lose(&self, loss: Loss) {
        let state = match loss {
            Loss::Reset => RESET,
            Loss::Silence => SILENT,
            Loss::Closed => CLOSED,
        };
        self.0.store(state, Ordering::Relaxed);
    }

    fn is_silent(&self) -> bool {
        self.state() == SILENT
    }
}

impl TcpLine {
    fn state(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Tcp {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, line: Arc::default() }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// What breaks it.
    pub(crate) fn line(&self) -> Arc<dyn Line> {
        Arc::clone(&self.line) as _
    }

    /// Returns when the client is gone, whatever it sends until then.
    pub(crate) async fn gone(&self) {
        let mut buffer = [0; 1024];
        while self.stream.readable().await.is_ok() {
            match self.stream.try_read(&mut buffer) {
                Ok(1..) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// What a write of so many bytes comes to; none if it goes through.
    fn lost_write(&self, bytes: usize) -> Option<io::Result<usize>> {
        match self.line.state() {
            WHOLE => None,
            RESET => Some(Err(ErrorKind::ConnectionReset.into())),
            CLOSED => Some(Err(ErrorKind::BrokenPipe.into())),
            // As on a network that swallows everything: the socket takes it.
            _ => Some(Ok(bytes)),
        }
    }
}

impl AsyncRead for Tcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.line.state() {
            WHOLE => Pin::new(&mut self.stream).poll_read(cx, buffer),
            RESET => Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
            CLOSED => Poll::Ready(Ok(())),
            // Never again; what ends it is whoever waits besides, for a time or for a sign.
            _ => Poll::Pending,
        }
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.lost_write(bytes.len()) {
            Some(written) => Poll::Ready(written),
            None => Pin::new(&mut self.stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.lost_write(slices.iter().map(|slice| slice.len()).sum()) {
            Some(written) => Poll::Ready(written),
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.line.state() {
            WHOLE | CLOSED => Pin::new(&mut self.stream).poll_shutdown(cx),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for Tcp {
    /// Without anything to linger for, closing a socket resets the connection.
    fn drop(&mut self) {
        if self.line.state() == RESET
            && let Err(error) = self.stream.set_zero_linger()
        {
            debug!(%error, "a connection that was to be reset is closed");
        }
    }
}
