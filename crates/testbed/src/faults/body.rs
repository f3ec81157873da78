//! Answers' bodies: a watch's can be delayed, held and cut.

use bytes::Bytes;
use futures::stream::unfold;
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use tower::BoxError;

use super::FaultHandle;
use super::layer::killed;

/// A body of any origin.
pub type AnswerBody = UnsyncBoxBody<Bytes, BoxError>;

/// As it is.
pub fn answer_body<B>(body: B) -> AnswerBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// As the handle wants it.
pub fn watch_body<B>(body: B, handle: FaultHandle) -> AnswerBody
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let frames = unfold(Some((body, handle)), |open| async {
        let (mut body, handle) = open?;
        let said = tokio::select! {
            said = said(&mut body, &handle) => said,
            () = handle.until_cut() => Some(Err(killed())),
        };
        let open = matches!(said, Some(Ok(_))).then_some((body, handle));
        Some((said?, open))
    });
    StreamBody::new(frames).boxed_unsync()
}

async fn said<B>(body: &mut B, handle: &FaultHandle) -> Option<Result<Frame<Bytes>, BoxError>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let frame = body.frame().await?.map_err(Into::into);
    tokio::time::sleep(handle.watch_delay()).await;
    handle.until_released().await;
    Some(frame)
}
