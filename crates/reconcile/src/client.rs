//! The Kubernetes client of the manager: every request is counted.

use std::task::{Context, Poll};

use anyhow::Context as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use kube::client::ClientBuilder;
use kube::{Client, Config};
use tower::{Layer, Service};

use crate::metrics::Metrics;

/// A client whose requests are counted in `rest_client_requests_total`.
pub fn client(config: Config, metrics: &Metrics) -> anyhow::Result<Client> {
    let host = config.cluster_url.host().unwrap_or_default().to_owned();
    let counted = Counted { metrics: metrics.clone(), host };
    Ok(ClientBuilder::try_from(config)
        .context("cannot make a Kubernetes client")?
        .with_layer(&counted)
        .build())
}

#[derive(Clone)]
struct Counted {
    metrics: Metrics,
    host: String,
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
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let method = request.method().to_string();
        let Counted { metrics, host } = self.counted.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            let code = answer
                .as_ref()
                .map_or_else(|_| "<error>".to_owned(), |answer| answer.status().as_str().to_owned());
            metrics.request(code, method, host);
            answer
        })
    }
}
