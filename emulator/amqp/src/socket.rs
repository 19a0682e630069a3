//! A stream with what was read but not understood yet, and what is to be written.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use iothub_core::limits;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::connection::End;
use crate::error::{AmqpError, FRAMING};
use crate::performative::Performative;

const READ_BYTES: usize = 16 * 1024;
const HEADER_BYTES: usize = 8;

pub(crate) struct Socket<S> {
    pub(crate) stream: S,
    pub(crate) input: BytesMut,
    pub(crate) output: BytesMut,
}

/// A frame, on a channel; none is one that only keeps the connection alive.
pub(crate) struct Frame {
    pub(crate) channel: u16,
    pub(crate) performative: Option<Performative>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, input: BytesMut::new(), output: BytesMut::new() }
    }

    /// Reads what has come; safe to drop and call again.
    pub(crate) async fn read(&mut self) -> Result<(), End> {
        self.input.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(End::PeerClosed),
            _ => Ok(()),
        }
    }

    /// The header with which a client begins a layer: the eighth part of it tells which.
    pub(crate) async fn header(&mut self) -> Result<[u8; HEADER_BYTES], End> {
        while self.input.len() < HEADER_BYTES {
            self.read().await?;
        }
        let mut header = [0; HEADER_BYTES];
        self.input.copy_to_slice(&mut header);
        Ok(header)
    }

    /// The next frame that is complete.
    pub(crate) fn frame(&mut self) -> Result<Option<Frame>, AmqpError> {
        let Some((size, offset)) = self.frame_size()? else { return Ok(None) };
        if self.input.len() < size {
            return Ok(None);
        }
        let mut frame = self.input.split_to(size).freeze();
        let head = frame.split_to(offset);
        let channel = match *head {
            [_, _, _, _, _, _, high, low, ..] => u16::from_be_bytes([high, low]),
            _ => 0,
        };
        let performative = read(frame)?;
        Ok(Some(Frame { channel, performative }))
    }

    fn frame_size(&self) -> Result<Option<(usize, usize)>, AmqpError> {
        let Some(&[a, b, c, d, words, ..]) = self.input.get(..HEADER_BYTES) else {
            return Ok(None);
        };
        let size = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let offset = usize::from(words) * 4;
        let max = limits::AMQP_FRAME_BYTES;
        if size > max {
            return Err(AmqpError::new(
                FRAMING,
                format!("frame has {size} bytes, expected at most {max}"),
            ));
        }
        if offset < HEADER_BYTES || offset > size {
            return Err(AmqpError::new(
                FRAMING,
                format!("frame of {size} bytes has its body at {offset}"),
            ));
        }
        Ok(Some((size, offset)))
    }

    /// The next frame, waiting for it.
    pub(crate) async fn next_frame(&mut self) -> Result<Frame, End> {
        loop {
            if let Some(frame) = self.frame()? {
                return Ok(frame);
            }
            self.read().await?;
        }
    }

    /// Writes what has been gathered; safe to drop and call again.
    pub(crate) async fn flush(&mut self) -> Result<(), End> {
        if self.output.is_empty() {
            return Ok(());
        }
        timeout(limits::AMQP_WRITE_TIME, self.write())
            .await
            .map_err(|_| End::Stalled(limits::AMQP_WRITE_TIME))??;
        self.output = BytesMut::new();
        Ok(())
    }

    async fn write(&mut self) -> io::Result<()> {
        while self.output.has_remaining() {
            if self.stream.write_buf(&mut self.output).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        self.stream.flush().await
    }

    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        self.write().await?;
        self.stream.shutdown().await
    }
}

fn read(body: Bytes) -> Result<Option<Performative>, AmqpError> {
    Performative::read(body).map_err(|why| AmqpError::new("amqp:decode-error", why.to_string()))
}
