//! A limit on the size of an answer (H-62): a child is not ours, and must not fill our memory.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::Limited;
use tower::{Layer, Service};

/// The largest answer that is read: a page of 500 large Nodes is about 10 MiB.
pub(crate) const LARGEST_ANSWER: usize = 32 << 20;

/// Adds the limit to a client.
#[derive(Clone, Copy)]
pub(crate) struct Bounded;

impl<S> Layer<S> for Bounded {
    type Service = Bounding<S>;

    fn layer(&self, inner: S) -> Bounding<S> {
        Bounding(inner)
    }
}

#[derive(Clone)]
pub(crate) struct Bounding<S>(S);

impl<S, B, R> Service<Request<B>> for Bounding<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = Response<Limited<R>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // A watch has no end of its own; what it delivers is reduced line by line.
        let watch = request.uri().query().is_some_and(|query| query.contains("watch="));
        let limit = if watch { usize::MAX } else { LARGEST_ANSWER };
        let answer = self.0.call(request);
        Box::pin(async move { Ok(answer.await?.map(|body| Limited::new(body, limit))) })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};
    use tower::ServiceExt;

    use super::*;

    async fn answer(uri: &str, bytes: usize) -> Result<usize, String> {
        let service = tower::service_fn(move |_: Request<()>| async move {
            Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(vec![b'x'; bytes]))))
        });
        let request = Request::get(uri).body(()).unwrap();
        let answer = Bounded.layer(service).oneshot(request).await.unwrap();
        answer
            .into_body()
            .collect()
            .await
            .map(|body| body.to_bytes().len())
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn h62_an_answer_that_is_too_large_is_refused_and_a_watch_has_no_end() {
        assert_eq!(answer("/api/v1/nodes", LARGEST_ANSWER).await, Ok(LARGEST_ANSWER));
        assert!(answer("/api/v1/nodes", LARGEST_ANSWER + 1).await.is_err());
        assert_eq!(answer("/api/v1/nodes?watch=true", LARGEST_ANSWER + 1).await, Ok(LARGEST_ANSWER + 1));
    }
}
