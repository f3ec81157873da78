//! The Kubernetes client of the manager: every request is counted, and none writes that comes too late.

use std::task::{Context, Poll};

use anyhow::Context as _;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use kube::client::ClientBuilder;
use kube::{Client, Config};
use tower::{BoxError, Layer, Service};

use crate::fence::Fence;
use crate::metrics::Metrics;

/// A client whose requests are counted in `rest_client_requests_total`, and whose writes pass while the fence is open.
pub fn client(config: Config, metrics: &Metrics, fence: &Fence) -> anyhow::Result<Client> {
    let host = config.cluster_url.host().unwrap_or_default().to_owned();
    let counted = Counted { metrics: metrics.clone(), host, fence: fence.clone() };
    Ok(ClientBuilder::try_from(config)
        .context("cannot make a Kubernetes client")?
        .with_layer(&counted)
        .build())
}

#[derive(Clone)]
struct Counted {
    metrics: Metrics,
    host: String,
    fence: Fence,
}

impl<S> Layer<S> for Counted {
    type Service = Counting<S>;

    fn layer(&self, inner: S) -> Counting<S> {
        Counting { inner, counted: self.clone() }
    }
}

#[derive(Clone)]
struct Counting<S> {
    inner: S,
    counted: Counted,
}

impl<S, B, R> Service<Request<B>> for Counting<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Counted { metrics, host, fence } = self.counted.clone();
        if request.method() != Method::GET && !is_lease(request.uri().path()) && !fence.is_open() {
            return Box::pin(async { Err("not sent: this process no longer leads".into()) });
        }
        let method = request.method().to_string();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            let code = answer
                .as_ref()
                .map_or_else(|_| "<error>".to_owned(), |answer| answer.status().as_str().to_owned());
            metrics.request(code, method, host);
            answer.map_err(Into::into)
        })
    }
}

/// Whoever leads or wants to writes these; the API server compares versions.
fn is_lease(path: &str) -> bool {
    path.starts_with("/apis/coordination.k8s.io/")
}
