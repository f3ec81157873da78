//! `/debug/tasks` and `/debug/flags/v`.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use reconcile::Metrics;
use serde_json::json;

use crate::log::Level;

pub(super) fn router(metrics: Metrics, level: Level) -> Router {
    let tasks = move || async move {
        let passes: Vec<_> = metrics
            .passes_under_way()
            .into_iter()
            .map(|pass| {
                json!({
                    "controller": pass.controller,
                    "namespace": pass.key.namespace,
                    "name": pass.key.name,
                    "seconds": pass.since.as_secs_f64(),
                })
            })
            .collect();
        ([(header::CONTENT_TYPE, "application/json")], json!({ "passes": passes }).to_string())
    };
    let told = level.clone();
    let tell = move || async move { told.text() + "\n" };
    let set = move |wanted: String| async move {
        match level.set(wanted.trim()) {
            Ok(()) => (StatusCode::OK, format!("log level is {}\n", level.text())).into_response(),
            Err(error) => (StatusCode::BAD_REQUEST, format!("{error:#}\n")).into_response(),
        }
    };
    Router::new().route("/debug/tasks", get(tasks)).route("/debug/flags/v", get(tell).put(set))
}
