//! The faults as a layer of a client's service.

use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use kube::client::Body;
use serde_json::json;
use tower::{BoxError, Layer, Service};

use super::body::{AnswerBody, answer_body, watch_body};
use super::request::ApiRequest;
use super::{Fault, FaultHandle, Verdict};

/// Put around a client's service; [`super::client_with`] does it.
#[derive(Clone, Debug)]
pub struct FaultLayer {
    handle: FaultHandle,
}

impl FaultLayer {
    /// Under this handle.
    pub fn new(handle: FaultHandle) -> Self {
        Self { handle }
    }
}

impl<S> Layer<S> for FaultLayer {
    type Service = FaultService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        FaultService { inner, handle: self.handle.clone() }
    }
}

/// A client's service with faults.
#[derive(Clone, Debug)]
pub struct FaultService<S> {
    inner: S,
    handle: FaultHandle,
}

impl<S, B> Service<Request<Body>> for FaultService<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<AnswerBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let asked = ApiRequest::of(&request);
        let handle = self.handle.clone();
        let verdict = handle.judge(&asked);
        match verdict {
            Verdict::Cut => Box::pin(async { Err(killed()) }),
            Verdict::Fail(Fault::Status(code)) => Box::pin(async move { refusal(code) }),
            Verdict::Fail(Fault::Timeout(after)) => Box::pin(async move {
                tokio::time::sleep(after).await;
                Err(Error::new(ErrorKind::TimedOut, "testbed: timed out").into())
            }),
            Verdict::Fail(Fault::LostAnswer) => {
                let sent = self.inner.call(request);
                Box::pin(async move {
                    sent.await.map_err(Into::into)?;
                    Err(Error::new(ErrorKind::ConnectionReset, "testbed: the answer is lost").into())
                })
            }
            Verdict::SendAndCut => {
                let sent = self.inner.call(request);
                Box::pin(async move {
                    let done = sent.await;
                    handle.cut_now();
                    done.map_err(Into::into)?;
                    Err(killed())
                })
            }
            Verdict::Send => {
                let sent = self.inner.call(request);
                let watches = asked.verb == "watch";
                Box::pin(async move {
                    let answer = tokio::select! {
                        answer = sent => answer.map_err(Into::into)?,
                        () = handle.until_cut() => return Err(killed()),
                    };
                    Ok(answer.map(|body| if watches { watch_body(body, handle) } else { answer_body(body) }))
                })
            }
        }
    }
}

/// What a request of a killed process meets.
pub fn killed() -> BoxError {
    Error::new(ErrorKind::ConnectionReset, "testbed: cut off after the n-th write").into()
}

/// An answer as the API server words it.
fn refusal(code: u16) -> Result<Response<AnswerBody>, BoxError> {
    let reason = match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("testbed: {reason}"), "reason": reason, "code": code,
    });
    let body = Full::new(Bytes::from(status.to_string())).map_err(|never| match never {}).boxed_unsync();
    let answer = Response::builder().status(StatusCode::from_u16(code)?);
    Ok(answer.header(http::header::CONTENT_TYPE, "application/json").body(body)?)
}
