//! The body of an answer on its way to the client: as it is, slowed down, or cut.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep, timeout};

/// How often a slow body gives something.
const TICKS_PER_SECOND: u64 = 10;

/// hyper throws away what it has not written yet when a body fails, and does not tell when it has written:
/// the bytes before a cut get this long to leave.
const BEFORE_CUT: Duration = Duration::from_millis(100);

/// How long a body that is not needed is read for.
const DRAIN_LIMIT: Duration = Duration::from_secs(60);

/// What is done to a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// It fails after so many bytes; one that ends earlier fails at its end.
    Cut { bytes: u64 },
    /// It comes so slowly.
    Slow { bytes_per_second: u64 },
}

/// The connection is cut here, on purpose.
#[derive(Debug, thiserror::Error)]
#[error("cut by the script")]
struct CutHere;

type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body in another shape.
struct Shaped {
    inner: Body,
    shape: Shape,
    /// Bytes that were read and not yet given.
    held: Bytes,
    pause: Option<Pin<Box<Sleep>>>,
}

/// Puts a body into a shape.
pub(crate) fn shaped(inner: Body, shape: Shape) -> Body {
    Body::new(Shaped { inner, shape, held: Bytes::new(), pause: None })
}

/// Reads a body to its end and forgets it, so that its sender has said all.
///
/// # Errors
/// It broke off, or took longer than [`DRAIN_LIMIT`].
pub(crate) async fn drain(mut body: Body) -> Result<(), BodyError> {
    let all = async {
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            frame?;
        }
        Ok(())
    };
    timeout(DRAIN_LIMIT, all).await?
}

impl Shaped {
    /// Waits for the pause to end, if there is one.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(())
    }

    fn poll_cut(&mut self, left: u64, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if left == 0 {
            return self.poll_end(cx);
        }
        match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            None => {
                self.shape = Shape::Cut { bytes: 0 };
                self.poll_end(cx)
            }
            Some(frame) => {
                Poll::Ready(Some(frame.map_err(Into::into).map(|frame| self.shortened(frame, left))))
            }
        }
    }

    fn shortened(&mut self, frame: Frame<Bytes>, left: u64) -> Frame<Bytes> {
        let Ok(mut data) = frame.into_data() else {
            self.shape = Shape::Cut { bytes: 0 };
            return Frame::data(Bytes::new()); // Trailers come after the body: the cut is before them.
        };
        data.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        self.shape = Shape::Cut { bytes: left - data.len() as u64 };
        Frame::data(data)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(BEFORE_CUT)));
        ready!(pause.as_mut().poll(cx));
        self.pause = None;
        Poll::Ready(Some(Err(Box::new(CutHere))))
    }

    fn poll_slow(
        &mut self,
        rate: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        ready!(self.poll_pause(cx));
        if self.held.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.held = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
            }
        }
        let piece = usize::try_from((rate / TICKS_PER_SECOND).max(1)).unwrap_or(usize::MAX);
        let piece = self.held.split_to(piece.min(self.held.len()));
        let nanoseconds = (piece.len() as u64).saturating_mul(1_000_000_000) / rate.max(1);
        self.pause = Some(Box::pin(sleep(Duration::from_nanos(nanoseconds))));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl HttpBody for Shaped {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.shape {
            Shape::Cut { bytes } => self.poll_cut(bytes, cx),
            Shape::Slow { bytes_per_second } => self.poll_slow(bytes_per_second, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.inner.is_end_stream() && matches!(self.shape, Shape::Slow { .. })
    }

    /// What the headers promise: of a body that is cut, less will come.
    fn size_hint(&self) -> SizeHint {
        let inner = self.inner.size_hint();
        let held = self.held.len() as u64;
        match inner.exact() {
            Some(left) => SizeHint::with_exact(left + held),
            None => inner,
        }
    }
}
