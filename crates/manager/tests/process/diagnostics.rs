//! Health and diagnostics (P-18, P-26, P-27).

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use manager::bundle::Bundle;
use serde_json::json;

use crate::bed::{Bed, account, eventually};

/// The token of a new ServiceAccount, with this ClusterRole if any.
async fn token(bed: &Bed, name: &str, role: Option<&str>) -> Result<String> {
    let accounts: Api<ServiceAccount> = Api::default_namespaced(bed.admin.clone());
    let made: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": name}}))?;
    accounts.create(&PostParams::default(), &made).await?;
    if let Some(role) = role {
        bed.apply(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
        }))
        .await?;
    }
    let request = TokenRequest { spec: TokenRequestSpec::default(), ..TokenRequest::default() };
    let answer = accounts.create_token_request(name, &PostParams::default(), &request).await?;
    Ok(answer.status.context("no token")?.token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p_27_diagnostics_are_for_those_whom_the_api_server_lets_read() -> Result<()> {
    let bed = Bed::with(Bundle::Standalone).await?;
    let manager = bed.manager("secure", Bundle::Standalone, &[])?;
    manager.until_ready().await?;
    let nobody = token(&bed, "nobody", None).await?;
    let reader = token(&bed, "reader", Some("k0smotron-metrics-reader")).await?;
    let everything = token(&bed, "everything", Some("cluster-admin")).await?;
    let status = async |token: Option<&str>, verb: &str, path: &str| {
        manager.ask(token, verb, path, "").await.map(|answer| answer.status)
    };

    assert_eq!(status(None, "GET", "/metrics").await?, 401, "no token");
    assert_eq!(status(Some("made-up"), "GET", "/metrics").await?, 401, "a token that nobody issued");
    assert_eq!(status(Some(&nobody), "GET", "/metrics").await?, 403, "no right");
    assert_eq!(status(Some(&reader), "GET", "/metrics").await?, 200);
    assert_eq!(
        status(Some(&reader), "GET", "/debug/tasks").await?,
        403,
        "a right to one path is none to another"
    );
    assert_eq!(status(Some(&reader), "PUT", "/debug/flags/v").await?, 403);
    assert_eq!(status(Some(&everything), "GET", "/debug/pprof/heap").await?, 404, "not in this program");

    let tasks = manager.ask(Some(&everything), "GET", "/debug/tasks", "").await?;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&tasks.body)?, json!({"passes": []}));
    let set = manager.ask(Some(&everything), "PUT", "/debug/flags/v", "5").await?;
    assert_eq!((set.status, set.body.as_str()), (200, "log level is trace\n"));
    assert_eq!(manager.ask(Some(&everything), "PUT", "/debug/flags/v", "a=b=c").await?.status, 400);
    assert_eq!(manager.ask(Some(&everything), "GET", "/debug/flags/v", "").await?.body, "trace\n");

    // A collector that reads every few seconds is no load: the answer of the API server holds for a minute.
    let reviews = || {
        let audit = bed.server.audit()?;
        let of = |entry: &&testbed::control_plane::AuditEntry| entry.resource.ends_with("reviews");
        Ok::<_, anyhow::Error>(audit.iter().filter(of).count())
    };
    let before = reviews()?;
    for _ in 0..10 {
        assert_eq!(status(Some(&reader), "GET", "/metrics").await?, 200);
    }
    assert_eq!(reviews()?, before);
    assert_eq!(bed.forbidden(&account(Bundle::Standalone))?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p_26_metrics_have_the_names_and_labels_that_dashboards_know() -> Result<()> {
    let bed = Bed::with(Bundle::Standalone).await?;
    let manager = bed.manager("plain", Bundle::Standalone, &["--insecure-diagnostics", "--leader-elect"])?;
    manager.until_ready().await?;
    bed.namespace("one").await?;
    bed.make_hosted("one", "a", json!({})).await?;
    // It ends with a timer: its certificates end one day.
    let passes = "controller_runtime_reconcile_total{controller=\"cluster\",result=\"requeue_after\"}";
    eventually("a pass has ended well", || async { Ok(manager.metric(passes).await? > Some(0.0)) }).await?;
    // Nobody runs its pods.
    eventually("what it waits for is told", || async {
        let text = manager.ask(None, "GET", "/metrics", "").await?.body;
        let waits = "k0smotron_waiting_objects{kind=\"Cluster\",reason=";
        Ok(text.lines().any(|line| line.starts_with(waits) && line.ends_with("} 1")))
    })
    .await?;

    let answer = manager.ask(None, "GET", "/metrics", "").await?;
    assert_eq!(answer.form, "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.body;
    for (name, kind, labels) in [
        ("controller_runtime_reconcile_total", "counter", "controller=\"cluster\",result=\"requeue_after\""),
        ("controller_runtime_reconcile_errors_total", "counter", "controller=\"cluster\""),
        ("controller_runtime_reconcile_panics_total", "counter", "controller=\"jointokenrequest\""),
        ("controller_runtime_terminal_reconcile_errors_total", "counter", "controller=\"cluster\""),
        ("controller_runtime_reconcile_time_seconds", "histogram", "controller=\"cluster\""),
        ("controller_runtime_active_workers", "gauge", "controller=\"cluster\""),
        ("controller_runtime_max_concurrent_reconciles", "gauge", "controller=\"cluster\"} 5"),
        ("workqueue_depth", "gauge", "name=\"cluster\",controller=\"cluster\""),
        ("workqueue_adds_total", "counter", "name=\"cluster\",controller=\"cluster\""),
        ("workqueue_queue_duration_seconds", "histogram", "name=\"cluster\",controller=\"cluster\""),
        ("workqueue_work_duration_seconds", "histogram", "name=\"cluster\",controller=\"cluster\""),
        ("workqueue_unfinished_work_seconds", "gauge", "name=\"cluster\",controller=\"cluster\""),
        ("workqueue_longest_running_processor_seconds", "gauge", "name=\"cluster\",controller=\"cluster\""),
        ("workqueue_retries_total", "counter", "name=\"cluster\",controller=\"cluster\""),
        ("rest_client_requests_total", "counter", "code=\"200\",method=\"GET\",host=\"127.0.0.1"),
        (
            "leader_election_master_status",
            "gauge",
            "name=\"083a7d1ebf6f499af0c1b1bb489b4941.k0smotron.io\"} 1",
        ),
        ("process_cpu_seconds_total", "counter", ""),
        ("process_resident_memory_bytes", "gauge", ""),
        ("process_start_time_seconds", "gauge", ""),
        ("process_open_fds", "gauge", ""),
        ("k0smotron_step_total", "counter", "controller=\"cluster\",step="),
        ("k0smotron_api_writes_total", "counter", "controller=\"cluster\",verb=\"apply\",kind=\"Service\""),
        ("k0smotron_waiting_objects", "gauge", "kind=\"Cluster\",reason="),
        ("k0smotron_build_info", "gauge", "version=\""),
        ("k0smotron_feature_enabled", "gauge", "name=\"InPlaceUpdates\"} 0"),
        ("k0smotron_cluster_api_present", "gauge", ""),
    ] {
        let help =
            text.lines().any(|l| l.strip_prefix(&format!("# HELP {name} ")).is_some_and(|h| h.len() > 5));
        assert!(help, "{name} has no help:\n{text}");
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name} is no {kind}:\n{text}");
        let series = |line: &str| line.starts_with(name) && !line.starts_with('#') && line.contains(labels);
        assert!(text.lines().any(series), "{name} with {labels}:\n{text}");
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').context(line.to_owned())?;
        assert!(value.parse::<f64>().is_ok() || value == "+Inf", "a line ends with its value: {line}");
    }
    assert!(!text.contains("# EOF"), "OpenMetrics is for who asks for it");
    let open = manager.ask_for(None, "GET", "/metrics", "", Some("application/openmetrics-text")).await?;
    assert!(open.form.starts_with("application/openmetrics-text") && open.body.ends_with("# EOF\n"));
    for path in ["/debug/tasks", "/debug/flags/v", "/debug/pprof/profile"] {
        assert_eq!(manager.ask(None, "GET", path, "").await?.status, 404, "insecure: metrics only");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p_18_ready_means_that_caches_are_filled_and_alive_does_not_depend_on_the_api_server() -> Result<()> {
    let mut bed = Bed::with(Bundle::Standalone).await?;
    bed.server.stop_apiserver();
    let mut manager = bed.manager("health", Bundle::Standalone, &["--insecure-diagnostics"])?;
    eventually("it answers probes", || async { Ok(manager.health("/healthz").await.is_some()) }).await?;
    assert_eq!(manager.health("/healthz").await, Some((200, "ok".to_owned())));
    assert_eq!(
        manager.health("/readyz").await,
        Some((500, "[+]ping ok\n[-]caches failed\n".to_owned())),
        "nothing is known yet"
    );
    bed.server.start_apiserver().await?;
    manager.until_ready().await?;
    assert_eq!(manager.health("/readyz?verbose").await, Some((200, "[+]ping ok\n[+]caches ok\n".to_owned())));

    bed.server.stop_apiserver();
    // More than the heartbeat may be late.
    tokio::time::sleep(Duration::from_secs(11)).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(manager.health(path).await, Some((200, "ok".to_owned())), "{path}");
    }
    assert!(manager.is_alive()?, "{}", manager.log());
    bed.server.start_apiserver().await?;
    bed.namespace("after").await?;
    bed.make_hosted("after", "a", json!({})).await?;
    eventually("it works again", || async { Ok(bed.secrets("after").await? > 0) }).await
}
