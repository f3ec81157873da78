//! Who may read: the API server says whose token it is, and what its owner may do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use reconcile::clock;
use sha2::{Digest as _, Sha256};

/// For how long a yes holds: a collector that reads every few seconds costs two requests a minute, and a right that
/// is taken away ends within that minute.
const KEPT: Duration = Duration::from_mins(1);
/// More readers than anybody has; a token that is new each time must not fill the memory.
const MOST: usize = 64;

/// What was asked: the digest of the token, the verb, the path.
type Question = ([u8; 32], String, String);

/// The answers of the API server.
#[derive(Clone)]
pub(super) struct Permits {
    client: Client,
    given: Arc<Mutex<HashMap<Question, Instant>>>,
}

impl Permits {
    pub(super) fn new(client: Client) -> Self {
        Self { client, given: Arc::default() }
    }

    /// `None` if it may be done, else why not. A no is never kept: it costs the one who asks.
    async fn asked(&self, token: &str, verb: &str, path: &str) -> anyhow::Result<Option<StatusCode>> {
        let question = (Sha256::digest(token).into(), verb.to_owned(), path.to_owned());
        let now = clock::instant();
        if self.lock().get(&question).is_some_and(|at| now.saturating_duration_since(*at) < KEPT) {
            return Ok(None);
        }
        let refusal = review(&self.client, token, verb, path).await?;
        if refusal.is_none() {
            let mut given = self.lock();
            if given.len() >= MOST {
                given.clear();
            }
            given.insert(question, now);
        }
        Ok(refusal)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Question, Instant>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets a request pass whose bearer token the API server knows and whose owner may do this to the path.
pub(super) async fn permitted(State(permits): State<Permits>, request: Request, next: Next) -> Response {
    let token = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|text| text.strip_prefix("Bearer ")).map(str::trim).filter(|t| !t.is_empty());
    let Some(token) = token else { return StatusCode::UNAUTHORIZED.into_response() };
    let verb = request.method().as_str().to_lowercase();
    match permits.asked(token, &verb, request.uri().path()).await {
        Ok(None) => next.run(request).await,
        Ok(Some(refusal)) => refusal.into_response(),
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "cannot check a diagnostics request");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

async fn review(client: &Client, token: &str, verb: &str, path: &str) -> anyhow::Result<Option<StatusCode>> {
    let review = TokenReview {
        spec: TokenReviewSpec { token: Some(token.to_owned()), audiences: None },
        ..TokenReview::default()
    };
    let review =
        Api::all(client.clone()).create(&PostParams::default(), &review).await.context("TokenReview")?;
    let status = review.status.unwrap_or_default();
    let Some(user) = status.user.filter(|_| status.authenticated == Some(true)) else {
        return Ok(Some(StatusCode::UNAUTHORIZED));
    };
    let wish = NonResourceAttributes { path: Some(path.to_owned()), verb: Some(verb.to_owned()) };
    let spec = SubjectAccessReviewSpec {
        user: user.username,
        groups: user.groups,
        uid: user.uid,
        extra: user.extra,
        non_resource_attributes: Some(wish),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let review = Api::all(client.clone())
        .create(&PostParams::default(), &review)
        .await
        .context("SubjectAccessReview")?;
    let allowed = review.status.is_some_and(|status| status.allowed);
    Ok((!allowed).then_some(StatusCode::FORBIDDEN))
}
