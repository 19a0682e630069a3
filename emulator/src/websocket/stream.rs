//! The bytes within WebSocket messages, as one stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_tungstenite::WebSocketStream;
use async_tungstenite::tokio::TokioAdapter;
use async_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use async_tungstenite::tungstenite::{Bytes, Error, Message};
use futures_util::{Sink as _, Stream as _};
use iothub_core::limits;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is read from the socket at once; every connection has a buffer of this size.
const READ_BYTES: usize = 4 * 1024;

/// What comes in binary messages, one after the other, and what goes out in them. Where a message
/// ends means nothing: clients cut MQTT packets as they like.
///
/// Pings are answered while somebody reads. `ws_stream_tungstenite` does the same but calls itself
/// for each ping that is waiting already, so that a client could exhaust the stack.
pub(super) struct MessageStream<S> {
    socket: WebSocketStream<TokioAdapter<S>>,
    /// What was not taken yet of the last message.
    rest: Bytes,
    /// Whether the close frame is out.
    closed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> MessageStream<S> {
    /// The server's side of a connection whose upgrade is done.
    pub(super) async fn new(stream: S) -> Self {
        let bounds = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .max_message_size(Some(limits::WEBSOCKET_MESSAGE_BYTES))
            .max_frame_size(Some(limits::WEBSOCKET_MESSAGE_BYTES));
        let adapter = TokioAdapter::new(stream);
        let socket = WebSocketStream::from_raw_socket(adapter, Role::Server, Some(bounds)).await;
        Self { socket, rest: Bytes::new(), closed: false }
    }

    /// The bytes of the next message; none at the end.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) if bytes.is_empty() => {}
                Some(Ok(Message::Binary(bytes))) => return Poll::Ready(Ok(Some(bytes))),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Text(_))) => {
                    let error = "a text message came, expected binary ones";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
                }
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(None)),
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for MessageStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.rest.is_empty() {
            match ready!(self.poll_message(cx))? {
                Some(bytes) => self.rest = bytes,
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for MessageStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut socket = Pin::new(&mut self.socket);
        ready!(socket.as_mut().poll_ready(cx)).map_err(io_error)?;
        let message = Message::Binary(Bytes::copy_from_slice(bytes));
        Poll::Ready(socket.start_send(message).map(|()| bytes.len()).map_err(io_error))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(io_error)
    }

    /// Says goodbye and waits until the client has, too: a socket that is closed before all is read
    /// is reset, and the client could lose what was said last.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed {
            ready!(Pin::new(&mut self.socket).poll_close(cx)).map_err(io_error)?;
            self.closed = true;
        }
        while !matches!(ready!(Pin::new(&mut self.socket).poll_next(cx)), None | Some(Err(_))) {}
        Pin::new(self.socket.get_mut().get_mut()).poll_shutdown(cx)
    }
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::NotConnected.into(),
        error => io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use async_tungstenite::tungstenite::protocol::CloseFrame;
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;

    type Client = WebSocketStream<TokioAdapter<DuplexStream>>;

    async fn pair() -> (Client, MessageStream<DuplexStream>) {
        let (near, far) = tokio::io::duplex(2 * limits::WEBSOCKET_MESSAGE_BYTES);
        let client = WebSocketStream::from_raw_socket(TokioAdapter::new(near), Role::Client, None);
        (client.await, MessageStream::new(far).await)
    }

    #[tokio::test]
    async fn messages_become_one_stream() {
        let (mut client, mut server) = pair().await;
        for bytes in [&b"ab"[..], b"", b"cde"] {
            client.send(Message::Ping(Bytes::from_static(b"?"))).await.unwrap();
            client.send(Message::Binary(Bytes::from_static(bytes))).await.unwrap();
        }
        let mut bytes = [0; 5];
        server.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"abcde");
        server.write_all(b"answer").await.unwrap();
        server.flush().await.unwrap();
        let mut answers = Vec::new();
        while let Some(Ok(message)) = client.next().await {
            let last = message.is_binary();
            answers.push(message);
            if last {
                break;
            }
        }
        assert!(answers.contains(&Message::Pong(Bytes::from_static(b"?"))), "{answers:?}");
        assert_eq!(answers.last(), Some(&Message::Binary(Bytes::from_static(b"answer"))));
    }

    #[tokio::test]
    async fn a_flood_of_pings_is_only_work() {
        let (mut client, mut server) = pair().await;
        for _ in 0..50_000 {
            client.feed(Message::Ping(Bytes::new())).await.unwrap();
        }
        client.send(Message::Binary(Bytes::from_static(b"x"))).await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn what_is_no_binary_message_is_an_error() {
        let large = Bytes::from(vec![0; limits::WEBSOCKET_MESSAGE_BYTES + 1]);
        let table = [
            (Message::text("hello"), "a text message came, expected binary ones"),
            (Message::Binary(large), "Space limit exceeded: Message too long: 1048577 > 1048576"),
        ];
        for (message, expected) in table {
            let (mut client, mut server) = pair().await;
            client.send(message).await.unwrap();
            let error = server.read_u8().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert_eq!(error.to_string(), expected);
        }
    }

    #[tokio::test]
    async fn either_side_says_goodbye() {
        let (mut client, mut server) = pair().await;
        let goodbye = tokio::spawn(async move { server.shutdown().await });
        assert!(matches!(client.next().await, Some(Ok(Message::Close(_)))));
        assert!(client.next().await.is_none());
        goodbye.await.unwrap().unwrap();

        let (mut client, mut server) = pair().await;
        client.close(None::<CloseFrame>).await.unwrap();
        assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
        server.shutdown().await.unwrap();
    }
}
