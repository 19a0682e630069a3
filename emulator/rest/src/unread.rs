//! What becomes of a body that nobody reads.
//!
//! Most clients send the whole body before they look for an answer. If the connection closed over
//! what is still on its way, a client would find it broken and never see why it was refused.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use iothub_core::limits;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// A body of which the rest is read and dropped beside the answer when it is no longer wanted.
struct Unread(Body);

/// Lets no body of a request go unread.
pub(crate) async fn drain(request: Request) -> Request {
    request.map(|body| Body::new(Unread(body)))
}

impl HttpBody for Unread {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        if self.0.is_end_stream() {
            return;
        }
        // Outside of a runtime the connection has ended, too.
        if let Ok(runtime) = Handle::try_current() {
            let rest = mem::take(&mut self.0);
            runtime.spawn(timeout(limits::HTTP_BODY_TIME, discard(rest)));
        }
    }
}

async fn discard(mut body: Body) {
    let mut size = 0;
    while let Some(Ok(frame)) = body.frame().await {
        size += frame.data_ref().map_or(0, Bytes::len);
        if size > limits::HTTP_DISCARDED_BYTES {
            return;
        }
    }
}
