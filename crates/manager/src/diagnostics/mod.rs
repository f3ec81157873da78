//! `/metrics`: over TLS to whoever the API server says may read it, or in plain text if asked for
//! (packaging-and-api 2.4).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use reconcile::Context;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Who connects and does not finish the handshake is dropped after this long.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Serves `/metrics` at `(address, plain)` until the context stops; `None` serves nothing.
pub async fn serve(context: &Context, at: Option<(SocketAddr, bool)>) -> anyhow::Result<()> {
    let Some((address, plain)) = at else { return Ok(()) };
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let router = reconcile::metrics_router(context.metrics().clone());
    let stop = context.stop().clone();
    if plain {
        context.spawn(async move {
            ended(axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await);
        });
        return Ok(());
    }
    let listener = TlsListener::new(context, listener, self_signed()?);
    let router = router.layer(middleware::from_fn_with_state(context.client().clone(), permitted));
    context.spawn(async move {
        ended(axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await);
    });
    Ok(())
}

fn ended(result: std::io::Result<()>) {
    if let Err(error) = result {
        tracing::error!(%error, "the diagnostics server ended");
    }
}

/// Lets a request pass whose bearer token the API server knows and whose owner may read the path.
async fn permitted(State(client): State<Client>, request: Request, next: Next) -> Response {
    let token = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let Some(token) = token.map(ToOwned::to_owned) else { return StatusCode::UNAUTHORIZED.into_response() };
    match may_read(client, token, request.uri().path().to_owned()).await {
        Ok(None) => next.run(request).await,
        Ok(Some(refusal)) => refusal.into_response(),
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "cannot check a diagnostics request");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

async fn may_read(client: Client, token: String, path: String) -> anyhow::Result<Option<StatusCode>> {
    let review = TokenReview {
        spec: TokenReviewSpec { token: Some(token), audiences: None },
        ..TokenReview::default()
    };
    let review =
        Api::all(client.clone()).create(&PostParams::default(), &review).await.context("TokenReview")?;
    let status = review.status.unwrap_or_default();
    let Some(user) = status.user.filter(|_| status.authenticated == Some(true)) else {
        return Ok(Some(StatusCode::UNAUTHORIZED));
    };
    let spec = SubjectAccessReviewSpec {
        user: user.username,
        groups: user.groups,
        uid: user.uid,
        extra: user.extra,
        non_resource_attributes: Some(NonResourceAttributes { path: Some(path), verb: Some("get".into()) }),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let review =
        Api::all(client).create(&PostParams::default(), &review).await.context("SubjectAccessReview")?;
    let allowed = review.status.is_some_and(|status| status.allowed);
    Ok((!allowed).then_some(StatusCode::FORBIDDEN))
}

fn self_signed() -> anyhow::Result<Arc<ServerConfig>> {
    let made =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).context("cannot make a certificate")?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    Ok(Arc::new(config.context("cannot use our own certificate")?))
}

/// Connections after their handshake; a slow one holds up nobody.
struct TlsListener {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: std::io::Result<SocketAddr>,
}

impl TlsListener {
    fn new(context: &Context, listener: TcpListener, config: Arc<ServerConfig>) -> Self {
        /// Handshakes done and not yet taken by the server.
        const WAITING: usize = 16;
        let address = listener.local_addr();
        let (sender, ready) = mpsc::channel(WAITING);
        let acceptor = TlsAcceptor::from(config);
        let stop = context.stop().clone();
        context.spawn(async move {
            while let Some(Ok((stream, peer))) = stop.run_until_cancelled(listener.accept()).await {
                let (acceptor, sender) = (acceptor.clone(), sender.clone());
                tokio::spawn(async move {
                    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                        // The server is gone at shutdown only.
                        let _ = sender.send((stream, peer)).await;
                    }
                });
            }
        });
        Self { ready, address }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(ready) => ready,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.address.as_ref().copied().map_err(|error| std::io::Error::from(error.kind()))
    }
}
